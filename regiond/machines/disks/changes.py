"""Opens operations that add, grow, move and remove disks of machines, or tells what they would change."""

from __future__ import annotations

from uuid import UUID

from attrs import evolve, frozen

from common.disk_sizes import whole_size
from common.errors import Busy, NotFound, OutOfCapacity
from common.guest_spec import DiskSpec
from common.serialization import to_dict
from common.units import gb
from common.values import DiskSize, OwnershipMarker
from common.volume_names import marker_of_ours
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.idempotency.model import IdempotencyKey
from regiond.identifiers import serial
from regiond.ledger import service as ledger
from regiond.machines import kept_disk_store, view_store
from regiond.machines.disks import store
from regiond.machines.disks.kept import locked_kept_disk
from regiond.machines.disks.model import (
    DiskHolder,
    add_plan,
    attach_plan,
    check_attachable,
    check_growth,
    check_listed,
    check_new,
    check_number,
    check_ours,
    check_removable,
    grow_plan,
    not_listed,
    remove_plan,
)
from regiond.machines.disks.moves import DiskMoves
from regiond.machines.disks.placement import choose_pool
from regiond.machines.hardware.requests import HardwareRequests, changeable
from regiond.machines.model import (
    DiskChange,
    DiskOrigin,
    DiskPlan,
    DiskToAdd,
    DiskToAttach,
    DiskToGrow,
    DiskToMove,
    DiskToRemove,
    DiskView,
    MachineView,
)
from regiond.machines.operation_intents import check_owner_is, open_operation
from regiond.machines.values.disk_names import name_of_new_volume, serial_of_new_disk
from regiond.operations.model import Operation, OperationKind, Parent
from regiond.quotas.model import Charge, Holdings
from regiond.quotas.service import permitted


@frozen
class DiskChanges:
    """Adds, grows, moves and removes disks of machines. Every operator of its pool may change a machine without owner.

    What a machine uses more is claimed at once.
    """

    requests: HardwareRequests
    installation_id: UUID

    async def start(
        self,
        caller: Caller,
        system_id: str,
        change: DiskChange,
        *,
        idempotency_key: IdempotencyKey | None = None,
        need_rack: bool = False,
    ) -> Operation:
        """Returns the operation. Raises NotFound, NotAllowed, InvalidRequest, WrongState, QuotaExceeded, OutOfCapacity
        with the numbers, Busy while another operation acts on the machine, and RackUnreachable with `need_rack`.
        """
        return await self.requests.start(
            caller, system_id, lambda db: self._open_change(db, caller, system_id, change),
            idempotency_key=idempotency_key, need_rack=need_rack,
        )  # fmt: skip

    async def start_part(self, caller: Caller, system_id: str, change: DiskChange, parent: Parent) -> Operation:
        """Returns the child of a bulk operation that makes the change. Raises the errors of `start`."""
        return await self.requests.start(
            caller, system_id, lambda db: self._open_change(db, caller, system_id, change, parent),
            idempotency_key=None, need_rack=False,
        )  # fmt: skip

    async def plan(self, caller: Caller, system_id: str, change: DiskChange) -> DiskPlan:
        """Returns what `start` would change, and changes nothing. Raises the errors of `start`."""
        return await self.requests.plan(lambda db: self._open_change(db, caller, system_id, change))

    async def _open_change(
        self, db: Db, caller: Caller, system_id: str, change: DiskChange, parent: Parent | None = None
    ) -> tuple[int, DiskPlan]:
        match change:
            case DiskToAdd():
                return await self._add(db, caller, system_id, change, parent)
            case DiskToAttach():
                return await self._attach(db, caller, system_id, change.kept_disk_id, parent)
            case DiskToGrow():
                return await self._grow(db, caller, system_id, change, parent)
            case DiskToMove():
                return await DiskMoves(self.installation_id).open(db, caller, system_id, change, parent)
            case DiskToRemove():
                return await self._remove(db, caller, system_id, change, parent)

    async def _add(
        self, db: Db, caller: Caller, system_id: str, disk: DiskToAdd, parent: Parent | None
    ) -> tuple[int, DiskPlan]:
        """Locks in the order of all writers: quotas, the operation, the server, the machine."""
        tags = check_new(disk)
        machine = await changeable(db, caller, system_id)
        disk = evolve(disk, size_bytes=whole_size(disk.size_bytes, product=machine.product))
        check_listed(machine)
        check_number(machine)
        pool = await choose_pool(db, machine, disk)
        holder = await store.read_holder(db, machine.id)
        await _charge(db, holder, disk.size_bytes)
        spec = DiskSpec(
            volume=name_of_new_volume(self._marker(machine), holder.next_index, product=machine.product),
            pool_id=pool.key,
            size_bytes=disk.size_bytes,
            serial=self._serial(machine, holder.next_index, pool.driver),
            tags=tags,
        )
        operation_id = await self._open(
            db, caller, machine, OperationKind.ADD_DISK,
            {"disk": to_dict(spec), "index": holder.next_index, "storage_pool_id": pool.id, "storage_pool": pool.name,
             "title": disk.label or f"disk{holder.next_index}", "kept": None},
            parent,
        )  # fmt: skip
        await self._claim(db, machine, pool.id, pool.name, disk.size_bytes)
        await _check_holder(db, machine, holder)  # after the lock of the server, which a move that names a copy holds
        await store.insert(db, _row(machine, spec, holder.next_index, pool.id, disk.label))
        return operation_id, add_plan(machine, disk.size_bytes, pool.name, _charge_of(holder, disk.size_bytes))

    async def _attach(
        self, db: Db, caller: Caller, system_id: str, kept_disk_id: int, parent: Parent | None
    ) -> tuple[int, DiskPlan]:
        kept = await locked_kept_disk(db, caller, kept_disk_id)
        machine = await changeable(db, caller, system_id)
        check_listed(machine)
        check_attachable(machine, kept)
        holder = await store.read_holder(db, machine.id)
        if (holder.account_id, holder.pool_id) != (kept.account_id, kept.pool_id):
            await _charge(db, holder, kept.size_bytes)
        spec = DiskSpec(
            volume=kept.volume,
            pool_id=kept.storage_pool_key,
            size_bytes=kept.size_bytes,
            serial=self._serial(machine, holder.next_index, machine.driver),
            tags=kept.tags,
        )
        operation_id = await self._open(
            db, caller, machine, OperationKind.ADD_DISK,
            {"disk": to_dict(spec), "index": holder.next_index, "storage_pool_id": kept.storage_pool_id,
             "storage_pool": kept.storage_pool_name, "title": kept.title, "kept": to_dict(kept)},
            parent,
        )  # fmt: skip
        await _check_holder(db, machine, holder)
        if machine.host_id is not None:
            await ledger.lock_hosts(db, [machine.host_id], wait=True)
        await kept_disk_store.take(db, kept)
        await self._claim(db, machine, kept.storage_pool_id, kept.storage_pool_name, kept.size_bytes)
        row = _row(machine, spec, holder.next_index, kept.storage_pool_id, kept.label)
        is_adopted = marker_of_ours(kept.volume, self.installation_id) is None
        await store.insert(db, evolve(row, origin=DiskOrigin.ADOPTED) if is_adopted else row)
        return operation_id, attach_plan(machine, kept)

    async def _grow(
        self, db: Db, caller: Caller, system_id: str, change: DiskToGrow, parent: Parent | None
    ) -> tuple[int, DiskPlan]:
        machine, disk = await _disk(db, caller, system_id, change.disk_id)
        size_bytes = whole_size(change.size_bytes, product=machine.product)
        check_listed(machine)
        check_ours(machine, disk, self._marker(machine), "made larger here")
        check_growth(machine, disk, size_bytes)
        holder, pool_id = await store.read_holder(db, machine.id), await store.storage_pool_of(db, disk.id)
        await _charge(db, holder, size_bytes - disk.held_bytes)
        size = DiskSize(pool_id=disk.storage_pool_key, volume=disk.volume, size_bytes=size_bytes)
        operation_id = await self._open(
            db, caller, machine, OperationKind.GROW_DISK,
            {"disk_id": disk.id, "size": to_dict(size), "was_bytes": disk.size_bytes,
             "was_pending_bytes": disk.pending_size_bytes, "storage_pool_id": pool_id,
             "title": disk.title},
            parent,
        )  # fmt: skip
        await _check_disk(db, machine, disk)
        await self._claim(db, machine, pool_id, disk.storage_pool_name, size_bytes - disk.held_bytes)
        await store.set_pending(db, disk.id, size_bytes if size_bytes > disk.size_bytes else None)
        more = _charge_of(holder, size_bytes - disk.held_bytes)
        return operation_id, evolve(grow_plan(machine, disk, size_bytes), charge=more)

    async def _remove(
        self, db: Db, caller: Caller, system_id: str, change: DiskToRemove, parent: Parent | None
    ) -> tuple[int, DiskPlan]:
        machine, disk = await _disk(db, caller, system_id, change.disk_id)
        keep = change.keep
        check_listed(machine)
        check_ours(machine, disk, self._marker(machine), "removed here")
        check_removable(machine, disk)
        if disk.origin is DiskOrigin.ADOPTED and disk.id in await kept_disk_store.lacked_disks(db, [machine.id]):
            raise not_listed(machine, disk)
        pool_id = await store.storage_pool_of(db, disk.id)
        spec = DiskSpec(
            volume=disk.volume, pool_id=disk.storage_pool_key, size_bytes=disk.size_bytes,
            serial=disk.serial or serial(machine.uuid, disk.index), tags=disk.tags,
        )  # fmt: skip
        operation_id = await self._open(
            db, caller, machine, OperationKind.REMOVE_DISK,
            {"disk_id": disk.id, "disk": to_dict(spec), "index": disk.index, "keep": keep,
             "held_bytes": disk.held_bytes, "storage_pool_id": pool_id,
             "storage_pool": disk.storage_pool_name, "title": disk.title},
            parent,
        )  # fmt: skip
        await _check_disk(db, machine, disk)
        return operation_id, remove_plan(machine, disk, keep=keep)

    async def _open(
        self,
        db: Db,
        caller: Caller,
        machine: MachineView,
        kind: OperationKind,
        request: dict[str, object],
        parent: Parent | None,
    ) -> int:
        operation_id = await open_operation(
            db, kind, machine, self.installation_id, account_id=caller.account_id, request=request, parent=parent
        )
        await check_owner_is(db, machine)
        return operation_id

    async def _claim(self, db: Db, machine: MachineView, pool_id: int, pool: str, more_bytes: int) -> None:
        if machine.host_id is None or more_bytes <= 0:
            return
        if not await ledger.grow_storage(db, machine.id, machine.host_id, pool_id, more_bytes):
            raise OutOfCapacity(
                f"{machine.host_name} has too little left for {machine.hostname}: {gb(more_bytes)} more asked in the "
                f"storage pool {pool}. It was just filled, or the host is in maintenance or being removed."
            )

    def _marker(self, machine: MachineView) -> OwnershipMarker:
        return OwnershipMarker(installation_id=self.installation_id, machine_id=machine.uuid)

    def _serial(self, machine: MachineView, index: int, driver: str | None) -> str:
        return serial_of_new_disk(self._marker(machine), index, driver=driver, product=machine.product)


async def _disk(db: Db, caller: Caller, system_id: str, disk_id: int) -> tuple[MachineView, DiskView]:
    machine = await changeable(db, caller, system_id)
    disk = next((one for one in machine.disks if one.id == disk_id), None)
    if disk is None:
        raise NotFound(f"{machine.hostname} has no disk {disk_id} any more.")
    return machine, disk


async def _charge(db: Db, holder: DiskHolder, more_bytes: int) -> None:
    if more_bytes > 0:
        await permitted(db, [_charge_of(holder, more_bytes)], wait=True)


def _charge_of(holder: DiskHolder, more_bytes: int) -> Charge:
    return Charge(account_id=holder.account_id, pool_id=holder.pool_id, asked=Holdings(storage_bytes=more_bytes))


async def _check_holder(db: Db, machine: MachineView, holder: DiskHolder) -> None:
    if await store.read_holder(db, machine.id) != holder:
        raise Busy(f"{machine.hostname} has just been changed. Try again.")


async def _check_disk(db: Db, machine: MachineView, disk: DiskView) -> None:
    """The disk was read before the operation was open: another one may have changed it."""
    now = await view_store.read(db, machine.system_id)
    if disk not in now.disks:
        raise Busy(f"{disk.title} of {machine.hostname} has just been changed. Try again.")


def _row(machine: MachineView, spec: DiskSpec, index: int, pool_id: int, label: str) -> store.NewDisk:
    return store.NewDisk(
        machine_id=machine.id, index=index, volume=spec.volume, storage_pool_id=pool_id, size_bytes=spec.size_bytes,
        serial=spec.serial, tags=spec.tags, label=label,
    )  # fmt: skip
