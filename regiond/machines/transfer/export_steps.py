"""Exports a machine to a file: the operation's handler. Nothing stays on the host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from attrs import evolve

from common.disk_content import ReadPart
from common.errors import Busy, InnkeeperError
from common.guest_spec import DiskSpec
from common.rpc.hardware_commands import (
    HOST_BEGIN_READ,
    HOST_END_READ,
    HOST_READ_DISK,
    BeginReadCall,
    EndReadCall,
    ReadDiskCall,
)
from common.serialization import from_dict
from common.units import file_size
from regiond.db.pool import Db
from regiond.exports.model import ExportedDisk, MachineDescription
from regiond.exports.service import ExportFiles, ExportWriter
from regiond.machines.steps import Target, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

BEGIN_DEADLINE_S = 1800.0  # LXD copies the disk
READ_DEADLINE_S = 60.0  # of one part
END_DEADLINE_S = 120.0


class ExportMachine:
    """Each attempt writes a file of its own from the beginning, so that an interrupted one leaves nothing to complete.

    The operation keeps Innkeeper from starting the machine. A disk that was written meanwhile all the same is read
    again.
    """

    kind = OperationKind.EXPORT

    def __init__(self, calls: HostCalls, files: ExportFiles) -> None:
        self._calls = calls
        self._files = files

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request
        wanted = [_Disk(one) for one in request["disks"]]
        total = sum(one.spec.size_bytes for one in wanted)
        await wait_for_command(self._calls, operation, target, journal)
        async with self._files.writer(request["export"]) as writer:
            done, disks = 0, list[ExportedDisk]()
            for index, one in enumerate(wanted):
                await journal.step("begin_read", reaches_host=True, disk=one.title, size_bytes=one.spec.size_bytes)
                await self._begin(operation, target, one.spec)
                await journal.step("read_disk", disk=one.title, size_bytes=one.spec.size_bytes)
                disks.append(await self._read(target, writer, one, index, done, total))
                await self._end(operation, target, one.spec)
                done += one.spec.size_bytes
            await journal.step("finish_file")
            written = await writer.finish(
                evolve(from_dict(request["description"], MachineDescription), disks=tuple(disks))
            )

        async def record(db: Db) -> None:
            await written.record(db)
            message = f"{operation.hostname} on {operation.host_name} was exported: {file_size(written.size_bytes)}"
            await record_event(db, operation, "machine_exported", message)

        result = {"export": request["export"], "size": written.size_bytes, "sha256": written.sha256}
        return Outcome(result=result, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        undone = await self._end_all(operation, journal)
        await journal.write("delete_file", lambda db: self._files.discard(db, operation.request["export"]))
        self._files.wake_cleanup()  # after the commit: a file that an export names stays
        return Outcome(undone=(*undone, "file deleted"))

    async def _end_all(self, operation: Operation, journal: Journal) -> tuple[str, ...]:
        """Removes what was made on the host to read the disks. What remains expires there, or goes with the machine."""
        if operation.machine_id is None or not operation.reached_host:
            return ()
        target = Target.of(operation)
        await wait_for_command(self._calls, operation, target, journal)
        await journal.step("end_read")
        try:
            for plain in operation.request["disks"]:
                await self._end(operation, target, _Disk(plain).spec)
        except InnkeeperError as error:
            await journal.note("copies of disks may remain on the host for a day", reason=error.message)
            return ()
        return ("copies of disks on the host deleted",)

    async def _begin(self, operation: Operation, target: Target, disk: DiskSpec) -> None:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_BEGIN_READ,
            lambda access: BeginReadCall(
                access=access, guest=target.spec.ref, pool_id=disk.pool_id, volume=disk.volume, fence=fence
            ),
            deadline_s=BEGIN_DEADLINE_S,
        )

    async def _end(self, operation: Operation, target: Target, disk: DiskSpec) -> None:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_END_READ,
            lambda access: EndReadCall(
                access=access, guest=target.spec.ref, pool_id=disk.pool_id, volume=disk.volume, fence=fence
            ),
            deadline_s=END_DEADLINE_S,
        )

    async def _read(
        self, target: Target, writer: ExportWriter, wanted: _Disk, index: int, done: int, total: int
    ) -> ExportedDisk:
        """Returns the disk, whose content is in the file now. Raises Busy if it was written meanwhile."""
        first = read = await self._part(target, wanted.spec, 0)
        await writer.begin_disk(first.size_bytes)
        while True:
            percent = min(99, (done + read.part.end) * 100 // max(1, total))
            end = min(read.part.end, first.size_bytes)
            following = await _meanwhile(
                self._part(target, wanted.spec, end), writer.add(read.part, percent=percent)
            )  # fmt: skip
            _check_same(first, following, target, wanted)
            if end == first.size_bytes:
                break
            read = following
        file, file_bytes, sha256 = await writer.end_disk(index)
        return ExportedDisk(
            title=wanted.title, file=file, size_bytes=first.size_bytes, file_bytes=file_bytes, sha256=sha256,
            storage_pool=wanted.storage_pool, tags=wanted.spec.tags,
        )  # fmt: skip

    async def _part(self, target: Target, disk: DiskSpec, start: int) -> ReadPart:
        return await self._calls.call(
            target.host_id,
            HOST_READ_DISK,
            lambda access: ReadDiskCall(
                access=access, guest=target.spec.ref, pool_id=disk.pool_id, volume=disk.volume, start=start
            ),
            deadline_s=READ_DEADLINE_S,
        )


class _Disk:
    """A disk as the operation's request has it."""

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self.spec = from_dict(plain["disk"], DiskSpec)
        self.title: str = plain["title"]
        self.storage_pool: str = plain["storage_pool"]


def _check_same(first: ReadPart, read: ReadPart, target: Target, wanted: _Disk) -> None:
    if (read.size_bytes, read.state) != (first.size_bytes, first.state):
        raise Busy(
            f"{wanted.title} of {target.spec.name} was written while it was exported, or the machine was started. It "
            "is exported again."
        )


async def _meanwhile(reading: Coroutine[Any, Any, ReadPart], writing: Awaitable[None]) -> ReadPart:
    """Returns the part that was read while another one was written. At the end of a disk it is empty."""
    read = asyncio.ensure_future(reading)
    try:
        await writing
    except BaseException:
        read.cancel()
        with suppress(asyncio.CancelledError, InnkeeperError):
            await read
        raise
    return await read
