"""Moves disks of machines to other storage pools of their hosts.

The order keeps the content: copy, use the copy, record that, and only then delete the volume of before.
"""

from __future__ import annotations

import time

from attrs import evolve, frozen

from common.disks.disk_content import CopiedDisk
from common.disks.volume_names import marker_of_ours
from common.errors import Busy, InvalidRequest, OutOfCapacity, WrongState
from common.guests.guest_spec import DiskSpec
from common.rpc.commands.hardware_commands import HOST_COPY_DISK, HOST_USE_COPY
from common.units import gb
from common.values import DriverType, Guest, OwnershipMarker
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.hosts.guest_ownership import record_guest
from regiond.ledger import growth
from regiond.machines.core import view_store
from regiond.machines.core.guest_spec import name_of_new_volume
from regiond.machines.core.steps import racks_text
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.disks import move_store, store
from regiond.machines.hardware.disks.changing import disk_of, marker_of, removed, spec_of
from regiond.machines.hardware.disks.copy_progress import CopyProgress, standstill_text
from regiond.machines.hardware.disks.model import check_copy_index, check_listed, check_movable, check_ours, move_plan
from regiond.machines.hardware.disks.placement import ChosenPool, choose_pool
from regiond.machines.values.disks import DiskPlan, DiskToAdd, DiskToMove, DiskView
from regiond.machines.values.model import MachineView
from regiond.operations.handler import Outcome, fence_of
from regiond.operations.model import WAIT_FOR_COMMAND
from regiond.requests.caller import Caller

_UNUSED = "is still in its storage pool, although no VM uses it"
_UNKNOWN = "was not deleted, since the host does not list which volume the VM uses"


@frozen(kw_only=True)
class _Request:
    """The disk before, in `storage_pool`, and its copy."""

    disk_id: int
    disk: DiskSpec
    copy: DiskSpec
    held_bytes: int
    storage_pool_id: int
    storage_pool: str
    copy_storage_pool_id: int
    copy_storage_pool: str
    title: str

    @property
    def row_of_copy(self) -> tuple[int, int, str]:
        return self.disk_id, self.copy_storage_pool_id, self.copy.volume


_At = Attempt[_Request]


class MoveDisk(HardwareChange[DiskToMove, _Request, DiskPlan]):
    """The space of the copy is claimed, and the copy is the second volume of the disk's row.

    The copy has a name that no volume ever had, so that it is never taken for the volume of before. It is named after
    the same machine: an attached disk stays one of the machine for which it was made.
    """

    kind = OperationKind.MOVE_DISK
    Request = _Request
    asked = (DiskToMove,)

    async def decide(self, db: Db, caller: Caller, system_id: str, asked: DiskToMove) -> Decision[_Request, DiskPlan]:
        """Claims the space of the copy; quotas count the disk once. Raises InvalidRequest, WrongState, OutOfCapacity
        with the numbers, and Busy.
        """
        machine, disk = await disk_of(db, caller, system_id, asked.disk_id)
        marker = marker_of(machine, self.installation_id)
        check_listed(machine)
        check_ours(machine, disk, marker, "moved here")
        check_movable(machine, disk)
        if asked.pool == disk.storage_pool_name:
            raise InvalidRequest.of({"pool": [f"{disk.title} of {machine.hostname} is already in {asked.pool}."]})
        pool = await choose_pool(db, machine, DiskToAdd(size_bytes=disk.held_bytes, pool=asked.pool))
        source = spec_of(machine, disk)
        copy = evolve(source, volume=await _copy_name(db, machine, disk, marker), pool_id=pool.key)
        request = _Request(
            disk_id=disk.id,
            disk=source,
            copy=copy,
            held_bytes=disk.held_bytes,
            storage_pool_id=await store.storage_pool_of(db, disk.id),
            storage_pool=disk.storage_pool_name,
            copy_storage_pool_id=pool.id,
            copy_storage_pool=pool.name,
            title=disk.title,
        )

        async def claim(db: Db, _: int) -> None:
            await _claim(db, machine, pool, disk.held_bytes)
            if disk not in (await view_store.read(db, machine.system_id)).disks or copy.volume != await _copy_name(
                db, machine, disk, marker
            ):
                raise Busy(f"{disk.title} of {machine.hostname} has just been changed. Try again.")
            await move_store.begin(db, disk.id, pool.id, copy.volume)

        return Decision(machine=machine, request=request, plan=move_plan(machine, disk, pool.name), claim=claim)

    async def act(self, at: _At) -> Outcome:
        source, copy = at.request.disk, at.request.copy
        await _exclude_older(at)
        await at.step("copy_disk", volume=source.volume, copy=copy.volume)
        state = await _copied(at)
        await at.step("use_copy", copy=copy.volume)
        await _use(at, state)
        return await _finish(at, await at.find_guest())

    async def restore(self, at: _At) -> Outcome:
        """Deletes the copy, unless the guest uses it by now: then the move is completed, which loses nothing.

        If the guest is gone, both volumes stay: nothing shows which of them it used last.
        """
        if not at.reached_host:
            return Outcome(undone=("disk not moved",), record=lambda db: _free_copy(db, at))
        request, guest = at.request, await at.find_guest()
        if guest is not None and _has(guest, request.copy):
            await at.step("use_copy")  # also after its next start
            await _use(at, "")
            return await _finish(at, guest)
        async with self.tools.requests.database.connection() as db:
            is_recorded = await move_store.uses_copy(db, *request.row_of_copy)
        left, used = (request.disk, request.copy) if is_recorded else (request.copy, request.disk)
        if guest is None or not _has(guest, used):
            return Outcome(record=lambda db: _both_stay(db, at, left, is_recorded=is_recorded))
        await at.step("remove_copy", volume=left.volume)
        is_removed = await removed(at, left)

        async def record(db: Db) -> None:
            await _free_copy(db, at)
            if not is_removed:
                await _record_left(db, at, _UNUSED, left)

        return Outcome(undone=("disk not moved",), record=record)


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
    if machine.host_id is None or not await growth.grow_storage(db, machine.id, machine.host_id, pool.id, size_bytes):
        raise OutOfCapacity(
            f"{machine.host_name} has too little left for the copy: {gb(size_bytes)} asked in the storage pool "
            f"{pool.name}. It was just filled, or the host is in maintenance or being removed."
        )


async def _exclude_older(at: _At) -> None:
    """Returns when no rack copies for an earlier attempt: it could write to the copy that this one makes."""
    if not at.reached_host:
        return
    await at.step(WAIT_FOR_COMMAND, reaches_host=False)
    fence = fence_of(at.operation, str(at.target.spec.marker.machine_id))
    running = await at.calls.exclude_older(at.target.host_id, fence, since=await at.journal.step_began_at())
    if running:
        raise Busy(f"{racks_text(running)} may still copy the disk for an earlier attempt.")


async def _copied(at: _At) -> str:
    """Returns the state of the disk that was copied. A host whose guest runs meanwhile is asked repeatedly.

    Raises WrongState if nothing more is copied: the operation then ends, and undoes what it has done.
    """
    request, progress = at.request, CopyProgress(time.monotonic())
    while not (copied := await _copy(at)).is_complete:
        percent = progress.saw(copied, time.monotonic())
        if percent is not None:
            await at.journal.note("disk copied in part", percent=percent)
        if progress.stands(time.monotonic()):
            raise WrongState(
                standstill_text(
                    request.title,
                    at.operation.hostname or "",
                    at.operation.host_name or "",
                    copied.percent,
                    request.storage_pool,
                    f"{request.copy.volume} in {request.copy_storage_pool}",
                )
            )
    return copied.state


async def _copy(at: _At) -> CopiedDisk:
    source = at.request.disk
    return await at.call(HOST_COPY_DISK, pool_id=source.pool_id, volume=source.volume, copy=at.request.copy)


async def _use(at: _At, state: str) -> None:
    source = at.request.disk
    await at.call(HOST_USE_COPY, pool_id=source.pool_id, volume=source.volume, copy=at.request.copy, state=state)


async def _finish(at: _At, guest: Guest | None) -> Outcome:
    """Records that the guest uses the copy, and only then deletes the volume of before."""
    request, source, machine_id = at.request, at.request.disk, at.target.machine_id

    async def record_use(db: Db) -> None:
        if guest is not None:
            await record_guest(db, at.target.host_id, guest, machine_id, guest.power)
        await move_store.use_copy(db, machine_id, *request.row_of_copy)

    await at.journal.write("copy_used", record_use)
    await at.step("remove_source", volume=source.volume)
    is_removed = await removed(at, source)

    async def record(db: Db) -> None:
        await move_store.end(db, machine_id, request.disk_id)
        await growth.free_storage(db, machine_id, request.storage_pool_id, request.held_bytes)
        message = (
            f"{request.title} of {at.where} is in the storage pool {request.copy_storage_pool}: "
            f"{request.copy.volume}, before {source.volume} in {request.storage_pool}"
        )
        await at.event(db, "machine_disk_moved", message)
        if not is_removed:
            await _record_left(db, at, _UNUSED, source)

    result = {"disk": request.disk_id, "storage_pool": request.copy_storage_pool, "removed": is_removed}
    return Outcome(result=result, record=record)


def _has(guest: Guest, disk: DiskSpec) -> bool:
    return any((one.pool_id, one.volume) == (disk.pool_id, disk.volume) for one in guest.disks)


async def _free_copy(db: Db, at: _At) -> None:
    request = at.request
    await move_store.end(db, at.target.machine_id, request.disk_id)
    await growth.free_storage(db, at.target.machine_id, request.copy_storage_pool_id, request.held_bytes)


async def _both_stay(db: Db, at: _At, left: DiskSpec, *, is_recorded: bool) -> None:
    """The disk is the volume that was recorded last; the other one is an orphaned volume from the next refresh on."""
    request = at.request
    await move_store.end(db, at.target.machine_id, request.disk_id)
    freed = request.storage_pool_id if is_recorded else request.copy_storage_pool_id
    await growth.free_storage(db, at.target.machine_id, freed, request.held_bytes)
    await _record_left(db, at, _UNKNOWN, left)


async def _record_left(db: Db, at: _At, what: str, left: DiskSpec) -> None:
    request = at.request
    pool = request.storage_pool if left.pool_id == request.disk.pool_id else request.copy_storage_pool
    message = (
        f"{left.volume} ({gb(left.size_bytes)} in {pool} of {at.operation.host_name}), a volume of {request.title} of "
        f"{at.operation.hostname}, {what}"
    )
    await at.event(db, "machine_disk_moved", message, level=Level.WARNING)
