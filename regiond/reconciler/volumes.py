"""What is to be said of a volume that is named after a mark of ours and that no guest has. Pure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from attrs import frozen

from regiond.reconciler.model import By, Difference, Kind


@frozen(kw_only=True)
class UnusedVolume:
    """As the last look at its server found it."""

    id: int
    name: str
    project: str
    pool_key: str  # the driver's id of its storage pool
    pool: str
    size_bytes: int | None
    mark: UUID
    host_id: int | None
    host_name: str | None
    system_id: str | None = None  # of the machine with this mark, if there is one
    hostname: str | None = None
    machine_host: str | None = None
    machine_here: bool = False  # on the same server
    machine_guest: str | None = None  # the guest that is the machine
    guest_name: str | None = None  # a guest with this mark that is no machine
    busy: bool = False  # an operation acts on the machine or its host, or removes this volume
    given_up: str | None = None  # the name that the machine had then
    made_here: bool = False  # it was made for that machine, in this storage pool of this server
    was_elsewhere: bool = False  # a look since then did not find it without a guest: something has had it
    forgotten: str | None = None  # the name of the machine whose host was removed while it stayed


def judge(volume: UnusedVolume) -> Difference | None:
    """None while an operation sees to it, and for a machine that is missing: that is told of the machine."""
    if volume.busy or (volume.machine_here and volume.machine_guest is None):
        return None
    if volume.system_id is not None:
        return _of_machine(volume)
    if volume.guest_name is not None:
        return _told(
            volume,
            found=f"the guest {volume.guest_name} carries its mark, is no machine, and does not have it",
            expected="a machine that has it, or no volume",
            remedy="see to the guest first: adopt it, or remove it at the hypervisor",
        )
    if volume.given_up is not None and volume.made_here and not volume.was_elsewhere:
        return _difference(
            volume,
            found=f"it was made for {volume.given_up}, which was given up",
            expected="no volume",
            remedy="an operation that removes the volume, and no guest",
            mended_by=By.ITSELF if volume.host_id is not None else By.NOBODY,
            ours=True,
            data_at_risk=False,
        )
    return _asked(volume, found=_stranger(volume))


def _of_machine(volume: UnusedVolume) -> Difference:
    if volume.machine_here:
        return _told(
            volume,
            found=f"it was made for {volume.hostname}, whose guest {volume.machine_guest} does not have it",
            expected=f"{volume.machine_guest} has it",
            remedy="attach it to the guest again, or remove it at the hypervisor",
        )
    return _asked(volume, found=f"it was made for {volume.hostname}, which is on {volume.machine_host}")


def _stranger(volume: UnusedVolume) -> str:
    if volume.given_up is not None and volume.made_here:
        return f"it was made for {volume.given_up}, which was given up, and something else may have had it since then"
    if volume.given_up is not None:
        return f"it is named after {volume.given_up}, which was given up, and nothing says that it was made here for it"
    if volume.forgotten is not None:
        return f"it is named after {volume.forgotten}, which was forgotten with its host and has not come back"
    return f"it is named after machine {volume.mark}, which the ledger does not know (any more)"


def _asked(volume: UnusedVolume, *, found: str) -> Difference:
    return _difference(
        volume,
        found=found,
        expected="no volume, or a guest that has it",
        remedy="the volume removed with all that is on it, unless a guest has it by then",
        mended_by=By.APPROVAL if volume.host_id is not None else By.NOBODY,
        ours=False,
        data_at_risk=True,
    )


def _told(volume: UnusedVolume, **told: str) -> Difference:
    return _difference(volume, mended_by=By.NOBODY, ours=False, data_at_risk=True, **told)


def _difference(volume: UnusedVolume, *, found: str, **told: Any) -> Difference:
    size = "" if volume.size_bytes is None else f" of {volume.size_bytes} bytes"
    return Difference(
        kind=Kind.UNUSED_VOLUME,
        key=f"volume {volume.id}",
        name=volume.name,
        host_id=volume.host_id,
        host_name=volume.host_name,
        system_id=volume.system_id,
        found=f"no guest has the volume{size} in storage pool {volume.pool}; {found}",
        **told,
    )
