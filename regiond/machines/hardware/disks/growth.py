"""Makes disks of machines larger, now if the host can; else when the machine is next started."""

from __future__ import annotations

from attrs import evolve, frozen

from common.guests.sizes import DiskSize
from common.rpc.commands.hardware_commands import HOST_GROW_DISK
from common.units import gb
from common.values import Guest
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.ledger import growth
from regiond.machines.core import disk_size_store
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.disks import store
from regiond.machines.hardware.disks.changing import charge, charge_of, check_unchanged, claim, disk_of, marker_of
from regiond.machines.hardware.disks.model import check_growth, check_listed, check_ours, grow_plan
from regiond.machines.values.disks import DiskPlan, DiskToGrow
from regiond.operations.handler import Outcome
from regiond.placement.storage_assignment import whole_size
from regiond.requests.caller import Caller


@frozen(kw_only=True)
class _Request:
    """`was_pending_bytes` is the size that it was to get before; None: none."""

    disk_id: int
    size: DiskSize
    was_bytes: int
    was_pending_bytes: int | None
    storage_pool_id: int
    title: str


class GrowDisk(HardwareChange[DiskToGrow, _Request, DiskPlan]):
    """A disk that has grown stays as it is: none ever gets smaller."""

    kind = OperationKind.GROW_DISK
    Request = _Request
    asked = (DiskToGrow,)

    async def decide(self, db: Db, caller: Caller, system_id: str, asked: DiskToGrow) -> Decision[_Request, DiskPlan]:
        """Raises InvalidRequest, WrongState, QuotaExceeded, and OutOfCapacity with the numbers."""
        machine, disk = await disk_of(db, caller, system_id, asked.disk_id)
        size_bytes = whole_size(asked.size_bytes, product=machine.product)
        check_listed(machine)
        check_ours(machine, disk, marker_of(machine, self.installation_id), "made larger here")
        check_growth(machine, disk, size_bytes)
        holder, pool_id = await store.read_holder(db, machine.id), await store.storage_pool_of(db, disk.id)
        more_bytes = size_bytes - disk.held_bytes
        await charge(db, holder, more_bytes)
        request = _Request(
            disk_id=disk.id,
            size=DiskSize(pool_id=disk.storage_pool_key, volume=disk.volume, size_bytes=size_bytes),
            was_bytes=disk.size_bytes, was_pending_bytes=disk.pending_size_bytes, storage_pool_id=pool_id,
            title=disk.title,
        )  # fmt: skip

        async def claim_space(db: Db, _: int) -> None:
            await check_unchanged(db, machine, disk)
            await claim(db, machine, pool_id, disk.storage_pool_name, more_bytes)
            await store.set_pending(db, disk.id, size_bytes if size_bytes > disk.size_bytes else None)

        plan = evolve(grow_plan(machine, disk, size_bytes), charge=charge_of(holder, more_bytes))
        return Decision(machine=machine, request=request, plan=plan, claim=claim_space)

    async def act(self, at: Attempt[_Request]) -> Outcome:
        request, wanted = at.request, at.request.size
        await at.step("grow_disk", volume=wanted.volume, size_bytes=wanted.size_bytes)
        now_bytes = (await at.call(HOST_GROW_DISK, size=wanted)).size_bytes
        is_pending = now_bytes < wanted.size_bytes

        async def record(db: Db) -> None:
            await _record_size(db, at, now_bytes)
            await _free_rest(db, at, max(now_bytes, wanted.size_bytes))

        later = f", and gets {gb(wanted.size_bytes)} when Innkeeper next starts the VM" if is_pending else ""
        return at.ended(
            record,
            event="machine_disk_grown",
            message=f"{request.title} of {at.where} has {gb(now_bytes)}{later}",
            result={"disk": request.disk_id, "size_bytes": now_bytes, "is_pending": is_pending},
        )

    async def restore(self, at: Attempt[_Request]) -> Outcome:
        """Records the size that the disk has.

        If the host does not know the size, such as that of a disk without a volume, nothing is recorded, and the claim
        stays for the larger size until a refresh finds what the disk takes.
        """
        request, now_bytes = at.request, at.request.was_bytes
        if at.reached_host:
            now_bytes = _known_size(await at.find_guest(), request.size)

        async def record(db: Db) -> None:
            await store.set_pending(db, request.disk_id, request.was_pending_bytes)
            if not now_bytes:
                await store.settle(db, at.target.machine_id)
                return
            await _record_size(db, at, now_bytes)
            await _free_rest(db, at, max(now_bytes, request.was_pending_bytes or 0))

        return Outcome(undone=("size as before",) if now_bytes == request.was_bytes else (), record=record)


def _known_size(guest: Guest | None, disk: DiskSize) -> int:
    """Returns 0 if it is unknown."""
    disks = () if guest is None else guest.disks
    found = (one for one in disks if (one.pool_id, one.volume) == (disk.pool_id, disk.volume))
    return next((one.size_bytes for one in found if not one.missing), 0)


async def _record_size(db: Db, at: Attempt[_Request], now_bytes: int) -> None:
    await disk_size_store.record_sizes(db, at.target.machine_id, [evolve(at.request.size, size_bytes=now_bytes)])
    await store.settle(db, at.target.machine_id)


async def _free_rest(db: Db, at: Attempt[_Request], used_bytes: int) -> None:
    """Frees what the machine claims for the disk beyond `used_bytes`: it claimed the larger of all sizes."""
    request = at.request
    held_bytes = max(request.was_bytes, request.was_pending_bytes or 0, request.size.size_bytes)
    if held_bytes > used_bytes:
        await growth.free_storage(db, at.target.machine_id, request.storage_pool_id, held_bytes - used_bytes)
