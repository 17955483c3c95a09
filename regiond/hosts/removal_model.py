"""The removal of a host: its options, and the outcome for its machines and its certificate."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class HostRemoval:
    """The options of a removal. It deletes no machine, the machines that Innkeeper created, or adopted ones too.

    `force` is for a dead host: nothing on the host changes, and the records of its machines end as lost.
    """

    decompose: bool = False
    destroy_adopted: bool = False  # requires `decompose`
    force: bool = False  # excludes `decompose`
    keep_trust: bool = False  # leaves our certificate on the server's trust list and retains its key pair

    def deletes(self, *, adopted: bool) -> bool:
        """Returns whether a machine is deleted; the guests of all other machines stay on the host."""
        return self.decompose and (self.destroy_adopted or not adopted)

    @property
    def description(self) -> str:
        """The words on the machines that follow "is being removed"."""
        if self.force:
            return "by force"
        if not self.decompose:
            return "without its machines"
        return "with all its machines" if self.destroy_adopted else "with the machines that Innkeeper created"


@frozen(kw_only=True)
class CertificateFate:
    """The outcome for a certificate on the server's trust list. `explanation` is for an operator.

    `uncertain`: the server may have received the request to remove it, but its answer was lost.
    """

    fingerprint: str
    removed: bool
    explanation: str
    uncertain: bool = False  # excludes `removed`

    @property
    def sentence(self) -> str:
        verb = "is no longer" if self.removed else "may still be" if self.uncertain else "stays"
        return f"Innkeeper's certificate {self.fingerprint} {verb} on the server's trust list: {self.explanation}"


@frozen(kw_only=True)
class DeletedMachines:
    """The machines that a removal, which is now undone, was to delete: hostnames, sorted.

    `uncertain`: the host had received the command when the deletion was cancelled.
    """

    deleted: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """Returns sentences that name every machine, or say that none was deleted."""
        lists = (
            ("Deleted, with the virtual machine and its volumes", self.deleted),
            ("Possibly deleted, the next refresh shows it", self.uncertain),
            ("Not deleted", self.kept),
        )
        said = tuple(f"{what}: {', '.join(names)}." for what, names in lists if names)
        return said if self.deleted or self.uncertain else ("No virtual machine was deleted.", *said)
