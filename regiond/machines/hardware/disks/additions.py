"""Adds disks to machines: new ones, and kept ones with their content."""

from __future__ import annotations

from attrs import evolve, frozen

from common.disks.volume_names import marker_of_ours
from common.errors import Busy, Cancelled, InnkeeperError, NotFound
from common.guests.guest_spec import DiskSpec
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.hosts.guest_ownership import record_guest
from regiond.ledger import claims, growth
from regiond.machines.core.generation import write_generation
from regiond.machines.core.guest_spec import name_of_new_volume, serial_of_new_disk
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.disks import store
from regiond.machines.hardware.disks.changing import (
    attach,
    charge,
    charge_of,
    claim,
    detach,
    marker_of,
    removed,
    where_is,
)
from regiond.machines.hardware.disks.kept import locked_kept_disk
from regiond.machines.hardware.disks.model import (
    DiskHolder,
    add_plan,
    attach_plan,
    check_attachable,
    check_listed,
    check_new,
    check_number,
)
from regiond.machines.hardware.disks.placement import choose_pool
from regiond.machines.hardware.requests import changeable
from regiond.machines.remains import kept_disk_store
from regiond.machines.values.disks import DiskOrigin, DiskPlan, DiskToAdd, DiskToAttach, KeptDisk
from regiond.machines.values.guest_request import MachineRequest
from regiond.machines.values.model import MachineView
from regiond.operations.handler import Outcome
from regiond.operations.model import Operation
from regiond.operations.service import error_of
from regiond.placement.storage_assignment import whole_size
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Request(MachineRequest):
    """`kept` is the kept disk that the machine gets; None: a new one."""

    disk: DiskSpec
    index: int
    storage_pool_id: int
    storage_pool: str
    title: str
    kept: KeptDisk | None

    @property
    def begins_use(self) -> str:
        return "" if self.kept is None else "it gets a disk that was kept"

    @property
    def where(self) -> str:
        return where_is(self.disk, self.storage_pool)


class AddDisk(HardwareChange[DiskToAdd | DiskToAttach, _Request, DiskPlan]):
    """Creates a disk, or takes a kept one, and gives it to the guest. Its row and its claim exist at once."""

    kind = OperationKind.ADD_DISK
    Request = _Request
    asked = (DiskToAdd, DiskToAttach)

    async def decide(
        self, db: Db, caller: Caller, system_id: str, asked: DiskToAdd | DiskToAttach
    ) -> Decision[_Request, DiskPlan]:
        """Raises InvalidRequest, WrongState, QuotaExceeded, and OutOfCapacity with the numbers."""
        if isinstance(asked, DiskToAttach):
            return await self._attached(db, caller, system_id, asked.kept_disk_id)
        return await self._added(db, caller, system_id, asked)

    async def _added(self, db: Db, caller: Caller, system_id: str, disk: DiskToAdd) -> Decision[_Request, DiskPlan]:
        tags = check_new(disk)
        machine = await changeable(db, caller, system_id)
        size_bytes = whole_size(disk.size_bytes, product=machine.product)
        check_listed(machine)
        check_number(machine)
        pool = await choose_pool(db, machine, evolve(disk, size_bytes=size_bytes))
        holder = await store.read_holder(db, machine.id)
        await charge(db, holder, size_bytes)
        index, marker = holder.next_index, marker_of(machine, self.installation_id)
        spec = DiskSpec(
            volume=name_of_new_volume(marker, index, product=machine.product), pool_id=pool.key, size_bytes=size_bytes,
            serial=serial_of_new_disk(marker, index, driver=pool.driver, product=machine.product), tags=tags,
        )  # fmt: skip
        request = _Request(
            disk=spec, index=index, storage_pool_id=pool.id, storage_pool=pool.name,
            title=disk.label or f"disk{index}", kept=None,
        )  # fmt: skip

        async def claim_space(db: Db, _: int) -> None:
            await claim(db, machine, pool.id, pool.name, size_bytes)
            await _check_holder(db, machine, holder)  # after the server's lock, which a move that names a copy holds
            await store.insert(db, _row(machine, request, disk.label))

        plan = add_plan(machine, size_bytes, pool.name, charge_of(holder, size_bytes))
        return Decision(machine=machine, request=request, plan=plan, claim=claim_space)

    async def _attached(self, db: Db, caller: Caller, system_id: str, kept_id: int) -> Decision[_Request, DiskPlan]:
        kept = await locked_kept_disk(db, caller, kept_id)
        machine = await changeable(db, caller, system_id)
        check_listed(machine)
        check_attachable(machine, kept)
        holder = await store.read_holder(db, machine.id)
        if (holder.account_id, holder.pool_id) != (kept.account_id, kept.pool_id):
            await charge(db, holder, kept.size_bytes)
        index, marker = holder.next_index, marker_of(machine, self.installation_id)
        spec = DiskSpec(
            volume=kept.volume, pool_id=kept.storage_pool_key, size_bytes=kept.size_bytes,
            serial=serial_of_new_disk(marker, index, driver=machine.driver, product=machine.product), tags=kept.tags,
        )  # fmt: skip
        request = _Request(
            disk=spec, index=index, storage_pool_id=kept.storage_pool_id, storage_pool=kept.storage_pool_name,
            title=kept.title, kept=kept,
        )  # fmt: skip

        async def take(db: Db, _: int) -> None:
            await _check_holder(db, machine, holder)
            if machine.host_id is not None:
                await claims.lock_hosts(db, [machine.host_id], wait=True)
            await kept_disk_store.take(db, kept)
            await claim(db, machine, kept.storage_pool_id, kept.storage_pool_name, kept.size_bytes)
            row = _row(machine, request, kept.label)
            is_adopted = marker_of_ours(kept.volume, self.installation_id) is None
            await store.insert(db, evolve(row, origin=DiskOrigin.ADOPTED) if is_adopted else row)

        return Decision(machine=machine, request=request, plan=attach_plan(machine, kept), claim=take)

    async def act(self, at: Attempt[_Request]) -> Outcome:
        request, disk = at.request, at.request.disk
        await write_generation(at.calls, at.operation, at.target, at.journal)
        await at.step("attach_disk", volume=disk.volume, size_bytes=disk.size_bytes)
        await attach(at, disk, request.index, create=request.kept is None)
        guest = await at.find_guest()

        async def record(db: Db) -> None:
            if guest is not None:
                await record_guest(db, at.target.host_id, guest, at.target.machine_id, guest.power)
            await store.settle(db, at.target.machine_id)

        return at.ended(
            record,
            event="machine_disk_added",
            message=f"{at.where} has {request.title}: {request.where}",
            result={"volume": disk.volume},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Takes the disk from the guest again. A new volume is deleted; a kept disk is kept again.

        If the guest does not give it back, the disk stays, since its data may be in use. A host that rejected the disk
        has made no volume: one of that name was there before, and nothing is known of its content.
        """
        request, disk, is_removed = at.request, at.request.disk, True
        if at.reached_host:
            await at.step("detach_disk")
            if not await _detached(at):
                return Outcome(record=lambda db: _stays(db, at))
            if request.kept is None and not _was_rejected(at.operation):
                is_removed = await removed(at, disk)

        async def record(db: Db) -> None:
            await store.remove(db, at.target.machine_id, disk.pool_id, disk.volume)
            await growth.free_storage(db, at.target.machine_id, request.storage_pool_id, disk.size_bytes)
            if request.kept is not None:
                await kept_disk_store.restore(db, request.kept)
            if not is_removed:
                made_for = f"made for {at.operation.hostname}, was not deleted"
                message = f"{request.where} of {at.operation.host_name}, {made_for}"
                await at.event(db, "machine_disk_removed", message, level=Level.WARNING)

        return Outcome(undone=("disk not added",), record=record)


async def _detached(at: Attempt[_Request]) -> bool:
    """Returns False if the guest keeps the disk for good."""
    try:
        await detach(at, at.request.disk)
    except NotFound:
        return True
    except InnkeeperError as error:
        if error.retryable:
            raise
        return False
    return True


async def _stays(db: Db, at: Attempt[_Request]) -> None:
    await store.settle(db, at.target.machine_id)
    message = f"{at.where} keeps the disk {at.request.title}: it is in use"
    await at.event(db, "machine_disk_added", message, level=Level.WARNING)


def _was_rejected(operation: Operation) -> bool:
    """Returns whether the host answered that it changes nothing; not after a cancellation or a lost connection."""
    error = error_of(operation)
    return not error.retryable and error.code != Cancelled.code


async def _check_holder(db: Db, machine: MachineView, holder: DiskHolder) -> None:
    if await store.read_holder(db, machine.id) != holder:
        raise Busy(f"{machine.hostname} has just been changed. Try again.")


def _row(machine: MachineView, request: _Request, label: str) -> store.NewDisk:
    spec = request.disk
    return store.NewDisk(
        machine_id=machine.id, index=request.index, volume=spec.volume, storage_pool_id=request.storage_pool_id,
        size_bytes=spec.size_bytes, serial=spec.serial, tags=spec.tags, label=label,
    )  # fmt: skip
