"""The form that releases VMs: what can become of their disks, and what is sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from regiond.ui.texts import constant

NO, QUICK, SECURE = "", "quick", "secure"
FIELDS = ("erase", "force", "comment")
_SENT: Mapping[str, Mapping[str, str]] = {
    QUICK: {"erase": "true", "quick_erase": "true"},
    SECURE: {"erase": "true", "secure_erase": "true"},
}


@frozen(kw_only=True)
class Erasure:
    """One choice: what happens to the disks, and in `help` which hosts refuse it."""

    value: str
    label: str
    help: str


_OVERWRITE = constant(
    "Overwrites only where a new disk could show the content of an earlier one (LVM without thin volumes). "
    "There libvirt hosts take minutes for a large disk, and hosts with LXD or Incus refuse, so that the VM stays yours."
)
_OVERWRITE_OF_OWN = constant(
    "Overwrites only where a new disk could show the content of an earlier one (LVM without thin volumes). "
    "There libvirt hosts take minutes for a large disk, and hosts with LXD or Incus refuse, so that the VM stays "
    "yours. Refused for adopted VMs."
)
_OF_KEPT = (
    Erasure(
        value=NO,
        label=constant("Leave the data disks"),
        help=constant("Only the root disk of a deployed VM is emptied. The next user finds what is on the others."),
    ),
    Erasure(
        value=QUICK,
        label=constant("Empty all disks (quick erase)"),
        help=constant("Each disk is deleted and created again, which takes a moment. Refused for adopted VMs."),
    ),
    Erasure(
        value=SECURE,
        label=constant("Overwrite and empty all disks (secure erase)"),
        help=_OVERWRITE_OF_OWN,
    ),
)
_OF_DELETED = (
    Erasure(value=NO, label=constant("Delete the disks"), help=constant("Their content is not overwritten.")),
    Erasure(value=SECURE, label=constant("Overwrite the disks, then delete them (secure erase)"), help=_OVERWRITE),
)


def erasures(*, deletes: bool) -> Sequence[Erasure]:
    """`deletes`: the release deletes all that it is for."""
    return _OF_DELETED if deletes else _OF_KEPT


def release_fields(values: Mapping[str, str]) -> dict[str, str]:
    """The fields as the API takes them, without the comment."""
    force = {"force": "true"} if values.get("force") else {}
    return {**_SENT.get(values.get("erase", NO), {}), **force}
