"""Finds volumes that are named after our ownership marker and that no guest of their server uses."""

from __future__ import annotations

from typing import Unpack
from uuid import UUID

from attrs import frozen

from common.disks.volume_names import index_of_volume
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, RepairPolicy, Subject, Texts


@frozen(kw_only=True)
class OrphanedVolume(Subject):
    """A volume that no guest of its server uses, as the last refresh found it, and the machine of its name."""

    WORD = "volume"

    name: str
    project: str
    pool_key: str  # the driver's id of its storage pool
    pool: str
    size_bytes: int | None
    marker: UUID  # `system_id` is the id of the machine that it names; None if there is none
    hostname: str | None = None
    machine_host: str | None = None
    machine_here: bool = False  # the machine is on the same server
    machine_guest: str | None = None  # the machine's guest
    guest_name: str | None = None  # a guest with the marker that is no machine's guest
    busy: bool = False  # an operation acts on the machine or its host, or removes this volume
    deleted_hostname: str | None = None  # from the machine's tombstone
    was_composed: bool = True  # users may have used its guest, and restored the volume of that
    created_here: bool = False  # the tombstone lists this volume in this storage pool of this server
    was_attached: bool = False  # a refresh since the deletion did not list the volume: a guest may have used it
    used_by: str | None = None  # a disk of this name that a machine or guest of any host has, or that is kept
    detached_hostname: str | None = None  # the machine's host was removed while its guest remained


def detect(volume: OrphanedVolume) -> Discrepancy | None:
    """Returns the discrepancy; None while an operation acts on it, and for a missing machine, itself a discrepancy."""
    if volume.busy or (volume.machine_here and volume.machine_guest is None):
        return None
    if volume.used_by is not None and not volume.machine_here:
        return _used_elsewhere(volume, volume.used_by)
    if volume.system_id is not None:
        return _of_machine(volume)
    if volume.guest_name is not None:
        return _reported(
            volume,
            found=f"the guest {volume.guest_name} carries its marker, is no machine, and does not use it",
            expected="a machine that uses the volume, or no volume",
            remedy=f"Adopt {volume.guest_name}, or delete it at the hypervisor.",
        )
    return _of_no_machine(volume)


def _of_no_machine(volume: OrphanedVolume) -> Discrepancy:
    if volume.deleted_hostname is None and volume.detached_hostname is not None:
        return _of_detached_machine(volume)
    if volume.deleted_hostname is not None and volume.created_here and not (volume.was_attached or volume.was_composed):
        return _of_failed_compose(volume)
    return _removable(volume, found=_origin(volume))


def _used_elsewhere(volume: OrphanedVolume, used_by: str) -> Discrepancy:
    return _reported(
        volume,
        found=f"but {used_by} has its name: both storage pools may show the same folder",
        expected="a volume that only one host shows",
        remedy="Leave it: deleting the volume here can delete that disk. If the folders are not the same, and the disk "
        "is elsewhere, delete it at the hypervisor.",
    )


def _of_machine(volume: OrphanedVolume) -> Discrepancy:
    if volume.machine_here:
        return _reported(
            volume,
            found=f"it was created for {volume.hostname}, whose guest {volume.machine_guest} does not use it",
            expected=f"{volume.machine_guest} uses the volume",
            remedy="Attach it to the guest again, or, if no disk or snapshot of it is based on the volume "
            "(qemu-img info --backing-chain shows that), delete it at the hypervisor.",
        )
    created = f"it was created for {volume.hostname}, which is on {volume.machine_host}"
    if index_of_volume(volume.name) is None:  # its user data or console log, which no disk names
        return _reported(
            volume,
            found=f"{created}: if both storage pools show the same folder, its guest uses it there",
            expected="no volume",
            remedy="Leave it if they do. Else delete it at the hypervisor.",
        )
    return _removable(volume, found=created)


def _of_detached_machine(volume: OrphanedVolume) -> Discrepancy:
    return _reported(
        volume,
        found=f"it is named after {volume.detached_hostname}, which was detached when its host was removed",
        expected="no volume, or a guest that uses it",
        remedy="Add that host again, or delete the volume at the hypervisor if the guest is gone: it may use it "
        "through a folder that both hosts show.",
    )


def _of_failed_compose(volume: OrphanedVolume) -> Discrepancy:
    return _discrepancy(
        volume,
        found=f"it was created for {volume.deleted_hostname}, whose compose did not succeed here",
        expected="no volume",
        remedy="This deletes the volume.",
        policy=RepairPolicy.AUTOMATIC,
    )


def _origin(volume: OrphanedVolume) -> str:
    if volume.deleted_hostname is not None and volume.created_here:
        since = "another guest may have used it since" if volume.was_attached else "it may have been restored since"
        return f"it was created for {volume.deleted_hostname}, which was deleted, but {since}"
    if volume.deleted_hostname is not None:
        return f"it is named after {volume.deleted_hostname}, which was deleted, but was not created here for it"
    return f"it is named after machine {volume.marker}, which is not in the ledger"


def _removable(volume: OrphanedVolume, *, found: str) -> Discrepancy:
    return _discrepancy(
        volume,
        found=found,
        expected="no volume, or a guest that uses it",
        remedy=f"This deletes the volume {volume.name} and its data, unless a guest uses it by then.",
        policy=RepairPolicy.APPROVAL,
    )


def _reported(volume: OrphanedVolume, **texts: Unpack[Texts]) -> Discrepancy:
    return _discrepancy(volume, policy=RepairPolicy.NONE, **texts)


def _discrepancy(
    volume: OrphanedVolume, *, found: str, expected: str, remedy: str, policy: RepairPolicy
) -> Discrepancy:
    size = "" if volume.size_bytes is None else f" of {volume.size_bytes} bytes"
    automatic = policy is RepairPolicy.AUTOMATIC
    unreachable = policy is not RepairPolicy.NONE and volume.host_id is None
    return Discrepancy.of(
        volume,
        DiscrepancyKind.ORPHANED_VOLUME,
        RepairPolicy.NONE if unreachable else policy,
        found=f"no guest here uses the volume{size} in storage pool {volume.pool}; {found}",
        expected=expected,
        remedy="Add a VM host for the volume's server." if unreachable else remedy,
        ours=automatic,
        data_at_risk=not automatic,
    )
