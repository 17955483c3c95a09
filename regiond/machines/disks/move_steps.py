"""Moves a disk of the guest of a machine to another storage pool: the operation's handler.

The order keeps the content: copy, use the copy, record that, and only then delete the volume of before.
"""

from __future__ import annotations

import time

from common.disk_content import CopiedDisk
from common.errors import Busy, WrongState
from common.guest_spec import DiskSpec
from common.rpc.hardware_commands import HOST_COPY_DISK, HOST_USE_COPY, CopyDiskCall, UseCopyCall
from common.rpc.host_commands import MAX_CALL_S
from common.serialization import from_dict
from common.units import gb
from common.values import Guest
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.hosts.service import record_guest
from regiond.ledger import service as ledger
from regiond.machines.disks import move_store
from regiond.machines.disks.copy_progress import CopyProgress, standstill_text
from regiond.machines.disks.steps import DiskCalls
from regiond.machines.steps import Target, find_guest, racks_text, record_event, wait_for_command
from regiond.operations.model import WAIT_FOR_COMMAND, Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

COPY_DEADLINE_S = MAX_CALL_S


class MoveDisk:
    """The space of the copy is claimed, and the copy is the second volume of the disk's row."""

    kind = OperationKind.MOVE_DISK

    def __init__(self, database: Database, calls: HostCalls) -> None:
        self._database = database
        self._all_calls = calls
        self._calls = DiskCalls(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, source, copy = Target.of(operation), _source(operation), _copy(operation)
        await self._exclude_older(operation, target, journal)
        await journal.step("copy_disk", reaches_host=True, volume=source.volume, copy=copy.volume)
        state = await self._copy(operation, target, journal)
        await journal.step("use_copy", reaches_host=True, copy=copy.volume)
        await self._use(operation, target, state)
        guest = await find_guest(self._all_calls, target)
        return await self._finish(operation, target, guest, journal)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Deletes the copy, unless the guest uses it by now: then the move is completed, which loses nothing.

        If the guest is gone, both volumes stay: nothing shows which of them it used last.
        """
        target = Target.of(operation)
        if not operation.reached_host:
            return Outcome(undone=("disk not moved",), record=lambda db: _free_copy(db, operation, target))
        await wait_for_command(self._all_calls, operation, target, journal)
        guest = await find_guest(self._all_calls, target)
        if guest is not None and _has(guest, _copy(operation)):
            await journal.step("use_copy", reaches_host=True)  # also after its next start
            await self._use(operation, target, "")
            return await self._finish(operation, target, guest, journal)
        async with self._database.connection() as db:
            is_recorded = await move_store.uses_copy(db, *_row_of_copy(operation))
        left = _source(operation) if is_recorded else _copy(operation)
        if guest is None or not _has(guest, _copy(operation) if is_recorded else _source(operation)):
            return Outcome(record=lambda db: _both_stay(db, operation, target, left, is_recorded=is_recorded))
        await journal.step("remove_copy", reaches_host=True, volume=left.volume)
        is_removed = await self._calls.removed(operation, target, left)

        async def record(db: Db) -> None:
            await _free_copy(db, operation, target)
            if not is_removed:
                await _record_left(db, operation, "is still in its storage pool, although no VM uses it", left)

        return Outcome(undone=("disk not moved",), record=record)

    async def _finish(
        self, operation: Operation, target: Target, guest: Guest | None, journal: Journal
    ) -> Outcome:  # fmt: skip
        """Records that the guest uses the copy, and only then deletes the volume of before."""
        request, source = operation.request, _source(operation)

        async def record_use(db: Db) -> None:
            if guest is not None:
                await record_guest(db, target.host_id, guest, target.machine_id, guest.power)
            await move_store.use_copy(db, target.machine_id, *_row_of_copy(operation))

        await journal.write("copy_used", record_use)
        await journal.step("remove_source", reaches_host=True, volume=source.volume)
        is_removed = await self._calls.removed(operation, target, source)

        async def record(db: Db) -> None:
            await move_store.end(db, target.machine_id, request["disk_id"])
            await ledger.free_storage(db, target.machine_id, request["storage_pool_id"], request["held_bytes"])
            message = (
                f"{request['title']} of {operation.hostname} on {operation.host_name} is in the storage pool "
                f"{request['copy_storage_pool']}: {_copy(operation).volume}, before {source.volume} in "
                f"{request['storage_pool']}"
            )
            await record_event(db, operation, "machine_disk_moved", message)
            if not is_removed:
                await _record_left(db, operation, "is still in its storage pool, although no VM uses it", source)

        result = {"disk": request["disk_id"], "storage_pool": request["copy_storage_pool"], "removed": is_removed}
        return Outcome(result=result, record=record)

    async def _exclude_older(self, operation: Operation, target: Target, journal: Journal) -> None:
        """Returns when no rack copies for an earlier attempt: it could write to the copy that this one makes."""
        if not operation.reached_host:
            return
        await journal.step(WAIT_FOR_COMMAND)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        running = await self._all_calls.exclude_older(target.host_id, fence, since=await journal.step_began_at())
        if running:
            raise Busy(f"{racks_text(running)} may still copy the disk for an earlier attempt.")

    async def _copy(self, operation: Operation, target: Target, journal: Journal) -> str:
        """Returns the state of the disk that was copied. A host whose guest runs meanwhile is asked repeatedly.

        Raises WrongState if nothing more is copied: the operation then ends, and undoes what it has done.
        """
        progress = CopyProgress(time.monotonic())
        while not (copied := await self._copied(operation, target)).is_complete:
            percent = progress.saw(copied, time.monotonic())
            if percent is not None:
                await journal.note("disk copied in part", percent=percent)
            if progress.stands(time.monotonic()):
                request = operation.request
                raise WrongState(
                    standstill_text(
                        request["title"], operation.hostname or "", operation.host_name or "", copied.percent,
                        request["storage_pool"], f"{_copy(operation).volume} in {request['copy_storage_pool']}",
                    )
                )  # fmt: skip
        return copied.state

    async def _copied(self, operation: Operation, target: Target) -> CopiedDisk:
        source, copy = _source(operation), _copy(operation)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        return await self._all_calls.call(
            target.host_id,
            HOST_COPY_DISK,
            lambda access: CopyDiskCall(
                access=access, guest=target.spec.ref, pool_id=source.pool_id, volume=source.volume, copy=copy,
                fence=fence,
            ),
            deadline_s=COPY_DEADLINE_S,
        )  # fmt: skip

    async def _use(self, operation: Operation, target: Target, state: str) -> None:
        source, copy = _source(operation), _copy(operation)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._all_calls.call(
            target.host_id,
            HOST_USE_COPY,
            lambda access: UseCopyCall(
                access=access, guest=target.spec.ref, pool_id=source.pool_id, volume=source.volume, copy=copy,
                state=state, fence=fence,
            ),
            deadline_s=COPY_DEADLINE_S,
        )  # fmt: skip


def _source(operation: Operation) -> DiskSpec:
    return from_dict(operation.request["disk"], DiskSpec)


def _copy(operation: Operation) -> DiskSpec:
    return from_dict(operation.request["copy"], DiskSpec)


def _row_of_copy(operation: Operation) -> tuple[int, int, str]:
    request = operation.request
    return request["disk_id"], request["copy_storage_pool_id"], _copy(operation).volume


def _has(guest: Guest, disk: DiskSpec) -> bool:
    return any((one.pool_id, one.volume) == (disk.pool_id, disk.volume) for one in guest.disks)


async def _free_copy(db: Db, operation: Operation, target: Target) -> None:
    request = operation.request
    await move_store.end(db, target.machine_id, request["disk_id"])
    await ledger.free_storage(db, target.machine_id, request["copy_storage_pool_id"], request["held_bytes"])


async def _both_stay(db: Db, operation: Operation, target: Target, left: DiskSpec, *, is_recorded: bool) -> None:
    """The disk is the volume that was recorded last; the other one is an orphaned volume from the next refresh on."""
    request = operation.request
    await move_store.end(db, target.machine_id, request["disk_id"])
    freed = "storage_pool_id" if is_recorded else "copy_storage_pool_id"
    await ledger.free_storage(db, target.machine_id, request[freed], request["held_bytes"])
    await _record_left(db, operation, "was not deleted, since the host does not list which volume the VM uses", left)


async def _record_left(db: Db, operation: Operation, what: str, left: DiskSpec) -> None:
    request = operation.request
    pool = request["storage_pool" if left.pool_id == _source(operation).pool_id else "copy_storage_pool"]
    message = (
        f"{left.volume} ({gb(left.size_bytes)} in {pool} of {operation.host_name}), a volume of {request['title']} of "
        f"{operation.hostname}, {what}"
    )
    await record_event(db, operation, "machine_disk_moved", message, level=Level.WARNING)
