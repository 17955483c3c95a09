"""Opens operations that move a disk to another storage pool of its host, or tells what they would change."""

from __future__ import annotations

from uuid import UUID

from attrs import evolve, frozen

from common.errors import Busy, InvalidRequest, NotFound, OutOfCapacity
from common.guest_spec import DiskSpec
from common.serialization import to_dict
from common.units import gb
from common.values import DriverType, OwnershipMarker
from common.volume_names import marker_of_ours
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.identifiers import serial
from regiond.ledger import service as ledger
from regiond.machines import view_store
from regiond.machines.disks import move_store, store
from regiond.machines.disks.model import check_copy_index, check_listed, check_movable, check_ours, move_plan
from regiond.machines.disks.placement import ChosenPool, choose_pool
from regiond.machines.hardware.requests import changeable
from regiond.machines.model import DiskPlan, DiskToAdd, DiskToMove, DiskView, MachineView
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.machines.values.disk_names import name_of_new_volume
from regiond.operations.model import OperationKind, Parent


@frozen
class DiskMoves:
    """The copy has a name that no volume ever had, so that it is never taken for the volume of before.

    It is named after the same machine: an attached disk stays one of the machine for which it was made.
    """

    installation_id: UUID

    async def open(
        self, db: Db, caller: Caller, system_id: str, change: DiskToMove, parent: Parent | None
    ) -> tuple[int, DiskPlan]:
        """Returns the id of the operation, and the plan. Claims the space of the copy; quotas count the disk once.

        Raises NotFound, NotAllowed, InvalidRequest, WrongState, OutOfCapacity with the numbers, and Busy.
        """
        machine = await changeable(db, caller, system_id)
        disk = _disk_of(machine, change.disk_id)
        marker = self._marker(machine)
        check_listed(machine)
        check_ours(machine, disk, marker, "moved here")
        check_movable(machine, disk)
        if change.pool == disk.storage_pool_name:
            raise InvalidRequest.of({"pool": [f"{disk.title} of {machine.hostname} is already in {change.pool}."]})
        pool = await choose_pool(db, machine, DiskToAdd(size_bytes=disk.held_bytes, pool=change.pool))
        source = DiskSpec(
            volume=disk.volume, pool_id=disk.storage_pool_key, size_bytes=disk.size_bytes,
            serial=disk.serial or serial(machine.uuid, disk.index), tags=disk.tags,
        )  # fmt: skip
        copy = evolve(source, volume=await _copy_name(db, machine, disk, marker), pool_id=pool.key)
        operation_id = await open_operation(
            db, OperationKind.MOVE_DISK, machine, self.installation_id, account_id=caller.account_id,
            request={
                "disk_id": disk.id, "disk": to_dict(source), "copy": to_dict(copy), "held_bytes": disk.held_bytes,
                "storage_pool_id": await store.storage_pool_of(db, disk.id), "storage_pool": disk.storage_pool_name,
                "copy_storage_pool_id": pool.id, "copy_storage_pool": pool.name, "title": disk.title,
            },
            parent=parent,
        )  # fmt: skip
        await check_owner_is(db, machine)
        await _claim(db, machine, pool, disk.held_bytes)
        if disk not in (await view_store.read(db, machine.system_id)).disks or copy.volume != await _copy_name(
            db, machine, disk, marker
        ):
            raise Busy(f"{disk.title} of {machine.hostname} has just been changed. Try again.")
        await move_store.begin(db, disk.id, pool.id, copy.volume)
        return operation_id, move_plan(machine, disk, pool.name)

    def _marker(self, machine: MachineView) -> OwnershipMarker:
        return OwnershipMarker(installation_id=self.installation_id, machine_id=machine.uuid)


def _disk_of(machine: MachineView, disk_id: int) -> DiskView:
    disk = next((one for one in machine.disks if one.id == disk_id), None)
    if disk is None:
        raise NotFound(f"{machine.hostname} has no disk {disk_id} any more.")
    return disk


async def _copy_name(db: Db, machine: MachineView, disk: DiskView, own: OwnershipMarker) -> str:
    """Returns the name of the copy. LXD's root disk has no volume of its own, and keeps its name in the ledger.

    The copy of an adopted disk is named after its machine: from then on it is a disk like those that were made for it.
    """
    if machine.driver == DriverType.LXD.value and disk.index == 0:
        return disk.volume
    marker = marker_of_ours(disk.volume, own.installation_id) or own
    index = await move_store.next_index(db, machine.id, marker.machine_id)
    check_copy_index(machine, disk, index)
    return name_of_new_volume(marker, index, product=machine.product)


async def _claim(db: Db, machine: MachineView, pool: ChosenPool, size_bytes: int) -> None:
    """Claims the space of the copy, and holds the lock of the server: names that others choose are seen from here."""
    if machine.host_id is None or not await ledger.grow_storage(db, machine.id, machine.host_id, pool.id, size_bytes):
        raise OutOfCapacity(
            f"{machine.host_name} has too little left for the copy: {gb(size_bytes)} asked in the storage pool "
            f"{pool.name}. It was just filled, or the host is in maintenance or being removed."
        )
