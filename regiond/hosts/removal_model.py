"""The removal of a host: what it deletes with it, and what became of the machines and the certificate."""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class HostRemoval:
    """What the removal of a host deletes with it: nothing, the machines that Innkeeper created, or adopted ones too.

    `force` is for a dead host: nothing on it is touched, and the records of its machines end as lost.
    """

    decompose: bool = False
    destroy_adopted: bool = False  # needs `decompose`
    force: bool = False  # excludes `decompose`
    keep_trust: bool = False  # leaves our certificate on the server's trust list, and keeps its key pair

    def deletes(self, *, adopted: bool) -> bool:
        """Returns whether a machine is deleted; the guests of all others stay on the host."""
        return self.decompose and (self.destroy_adopted or not adopted)

    @property
    def description(self) -> str:
        """What happens to the machines, to follow "is being removed"."""
        if self.force:
            return "by force"
        if not self.decompose:
            return "without its machines"
        return "with all its machines" if self.destroy_adopted else "with the machines that Innkeeper created"


@frozen(kw_only=True)
class CertificateFate:
    """What becomes of a certificate on the server's trust list. `explanation` is for an operator.

    `uncertain`: the server may have received the request that removes it, and its answer was lost.
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
    """The machines that the removal of a host was to delete when it is undone: hostnames, sorted.

    `uncertain`: the host had received the command when the deletion was cancelled.
    """

    deleted: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """Names every machine; says so if none was deleted."""
        lists = (
            ("Deleted, with the virtual machine and its volumes", self.deleted),
            ("Possibly deleted, the next refresh shows it", self.uncertain),
            ("Not deleted", self.kept),
        )
        said = tuple(f"{what}: {', '.join(names)}." for what, names in lists if names)
        return said if self.deleted or self.uncertain else ("No virtual machine was deleted.", *said)
