"""The parts that all changes of disks share: how a disk is found and claimed, and the calls to its host."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from common.disks.volume_names import marker_of_ours
from common.errors import Busy, InnkeeperError, NotFound, OutOfCapacity
from common.guests.guest_spec import DiskSpec
from common.hosts.discovery import VolumeRef
from common.rpc.commands.hardware_commands import HOST_ATTACH_DISK, HOST_DETACH_DISK
from common.rpc.commands.host_commands import HOST_REMOVE_VOLUMES
from common.units import gb
from common.values import OwnershipMarker
from regiond.db.pool import Db
from regiond.ledger import growth
from regiond.machines.core import view_store
from regiond.machines.hardware.change import Attempt
from regiond.machines.hardware.disks.model import DiskHolder
from regiond.machines.hardware.requests import changeable
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from regiond.quotas.model import Charge, Holdings
from regiond.quotas.service import permitted
from regiond.requests.caller import Caller
from regiond.requests.identifiers import serial


async def disk_of(db: Db, caller: Caller, system_id: str, disk_id: int) -> tuple[MachineView, DiskView]:
    """Raises NotFound and NotAllowed."""
    machine = await changeable(db, caller, system_id)
    disk = next((one for one in machine.disks if one.id == disk_id), None)
    if disk is None:
        raise NotFound(f"{machine.hostname} has no disk {disk_id} any more.")
    return machine, disk


def marker_of(machine: MachineView, installation_id: UUID) -> OwnershipMarker:
    return OwnershipMarker(installation_id=installation_id, machine_id=machine.uuid)


def spec_of(machine: MachineView, disk: DiskView) -> DiskSpec:
    """Returns the disk as its host has it."""
    return DiskSpec(
        volume=disk.volume, pool_id=disk.storage_pool_key, size_bytes=disk.size_bytes,
        serial=disk.serial or serial(machine.uuid, disk.index), tags=disk.tags,
    )  # fmt: skip


async def check_unchanged(db: Db, machine: MachineView, disk: DiskView) -> None:
    """Raises Busy: the disk was read before the operation was open, and another one may have changed it."""
    now = await view_store.read(db, machine.system_id)
    if disk not in now.disks:
        raise Busy(f"{disk.title} of {machine.hostname} has just been changed. Try again.")


def charge_of(holder: DiskHolder, more_bytes: int) -> Charge:
    return Charge(account_id=holder.account_id, pool_id=holder.pool_id, asked=Holdings(storage_bytes=more_bytes))


async def charge(db: Db, holder: DiskHolder, more_bytes: int) -> None:
    """Raises QuotaExceeded."""
    if more_bytes > 0:
        await permitted(db, [charge_of(holder, more_bytes)], wait=True)


async def claim(db: Db, machine: MachineView, pool_id: int, pool: str, more_bytes: int) -> None:
    """Raises OutOfCapacity."""
    if machine.host_id is None or more_bytes <= 0:
        return
    if not await growth.grow_storage(db, machine.id, machine.host_id, pool_id, more_bytes):
        raise OutOfCapacity(
            f"{machine.host_name} has too little left for {machine.hostname}: {gb(more_bytes)} more asked in the "
            f"storage pool {pool}. It was just filled, or the host is in maintenance or being removed."
        )


async def attach(at: Attempt[Any], disk: DiskSpec, index: int, *, create: bool) -> None:
    await at.call(HOST_ATTACH_DISK, disk=disk, index=index, create=create)


async def detach(at: Attempt[Any], disk: DiskSpec) -> None:
    await at.call(HOST_DETACH_DISK, pool_id=disk.pool_id, volume=disk.volume)


async def remove_volume(at: Attempt[Any], disk: DiskSpec) -> None:
    """Deletes the volume of a disk of the machine's own, which no guest uses. Idempotent.

    An adopted disk's name has no marker: that the operation was opened shows that it was adopted.
    """
    named_after = marker_of_ours(disk.volume, at.target.spec.marker.installation_id)
    await at.call_host(
        HOST_REMOVE_VOLUMES,
        marker=named_after or at.target.spec.marker,
        volumes=(VolumeRef(pool_id=disk.pool_id, name=disk.volume),),
        adopted=named_after is None,
    )


async def removed(at: Attempt[Any], disk: DiskSpec) -> bool:
    """As `remove_volume`. Returns False if the host does not delete the volume, as one that something else uses."""
    try:
        await remove_volume(at, disk)
    except InnkeeperError as error:
        if error.retryable:
            raise
        return False
    return True


def where_is(disk: DiskSpec, storage_pool: str) -> str:
    return f"{disk.volume} ({gb(disk.size_bytes)}) in {storage_pool}"
