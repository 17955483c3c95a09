"""Exports machines to files of the region. Nothing stays on the host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, frozen

from common.disks.disk_content import ReadPart
from common.errors import Busy, InnkeeperError
from common.guests.guest_spec import DiskSpec
from common.rpc.commands.hardware_commands import HOST_BEGIN_READ, HOST_END_READ, HOST_READ_DISK, ReadDiskCall
from common.units import file_size
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.exports.model import ExportedDisk, MachineDescription, OfExport
from regiond.exports.writing import ExportWriter
from regiond.machines.core import view_store
from regiond.machines.core.ownership_rules import check_owner
from regiond.machines.core.steps import wait_for_command
from regiond.machines.hardware.change import Attempt, Decision, HardwareChange
from regiond.machines.hardware.disks.changing import spec_of
from regiond.machines.hardware.exports.model import check_exportable, description_of, export_plan
from regiond.machines.values.disks import DiskPlan, MachineToExport
from regiond.machines.values.model import MachineView
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation
from regiond.requests.caller import Caller

READ_DEADLINE_S = 60.0  # of one part


@frozen(kw_only=True)
class _Disk:
    disk: DiskSpec
    title: str
    storage_pool: str


@frozen(kw_only=True)
class _Request(OfExport):
    description: MachineDescription
    disks: tuple[_Disk, ...]


_At = Attempt[_Request]


class ExportMachine(HardwareChange[MachineToExport, _Request, DiskPlan]):
    """Each attempt writes a file of its own from the beginning, so that an interrupted one leaves nothing to complete.

    The operation keeps Innkeeper from starting the machine. A disk that was written meanwhile all the same is read
    again. Only the owner of a machine and administrators export it: the file has all its data. A machine without owner
    belongs to who composed it.
    """

    kind = OperationKind.EXPORT
    Request = _Request
    asked = (MachineToExport,)

    async def decide(
        self, db: Db, caller: Caller, system_id: str, asked: MachineToExport
    ) -> Decision[_Request, DiskPlan]:
        """Raises WrongState unless the machine is off, and OutOfCapacity if the region has no room."""
        files = self.tools.export_files
        machine = await view_store.read(db, system_id, caller=caller)
        check_owner(caller, machine)
        check_exportable(machine)
        request = _Request(
            export=await files.add(db, name=machine.hostname, machine=system_id, account_id=caller.account_id),
            description=description_of(machine, (), now=datetime.now(UTC)),
            disks=tuple(
                _Disk(disk=spec_of(machine, disk), title=disk.title, storage_pool=disk.storage_pool_name)
                for disk in machine.disks
            ),
        )

        async def claim(db: Db, operation_id: int) -> None:
            if _changed(await view_store.read(db, system_id), machine):
                raise Busy(f"{machine.hostname} has just been changed. Try again.")
            await files.tie(db, request.export, operation_id)

        return Decision(machine=machine, request=request, plan=export_plan(machine), claim=claim)

    async def act(self, at: _At) -> Outcome:
        request = at.request
        total = sum(one.disk.size_bytes for one in request.disks)
        await wait_for_command(at.calls, at.operation, at.target, at.journal)
        async with self.tools.export_files.writer(request.export) as writer:
            done, disks = 0, list[ExportedDisk]()
            for index, one in enumerate(request.disks):
                await at.step("begin_read", disk=one.title, size_bytes=one.disk.size_bytes)
                await _begin(at, one.disk)
                await at.step("read_disk", reaches_host=False, disk=one.title, size_bytes=one.disk.size_bytes)
                disks.append(await _read(at, writer, one, index, done, total))
                await _end(at, one.disk)
                done += one.disk.size_bytes
            await at.step("finish_file", reaches_host=False)
            written = await writer.finish(evolve(request.description, disks=tuple(disks)))
        return at.ended(
            written.record,
            event="machine_exported",
            message=f"{at.where} was exported: {file_size(written.size_bytes)}",
            result={"export": request.export, "size": written.size_bytes, "sha256": written.sha256},
        )

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Deletes the file. The machine may be gone by now, with what was made on the host to read its disks."""
        on_host = Outcome() if operation.machine_id is None else await super().undo(operation, journal)
        files, export = self.tools.export_files, operation.request_as(_Request).export
        await journal.write("delete_file", lambda db: files.discard(db, export))
        files.wake_cleanup()  # after the commit: a file that an export names stays
        return Outcome(undone=(*on_host.undone, "file deleted"))

    async def restore(self, at: _At) -> Outcome:
        """Removes what was made on the host to read the disks. What remains expires there, or goes with the machine."""
        if not at.reached_host:
            return Outcome()
        await at.step("end_read", reaches_host=False)
        try:
            for one in at.request.disks:
                await _end(at, one.disk)
        except InnkeeperError as error:
            await at.journal.note("copies of disks may remain on the host for a day", reason=error.message)
            return Outcome()
        return Outcome(undone=("copies of disks on the host deleted",))


def _changed(now: MachineView, before: MachineView) -> bool:
    """Returns whether an operation that has just ended changed the machine after it was read."""
    return (now.disks, now.nics, now.cores, now.memory_mib) != (
        before.disks, before.nics, before.cores, before.memory_mib
    )  # fmt: skip


async def _begin(at: _At, disk: DiskSpec) -> None:
    await at.call(HOST_BEGIN_READ, pool_id=disk.pool_id, volume=disk.volume)


async def _end(at: _At, disk: DiskSpec) -> None:
    await at.call(HOST_END_READ, pool_id=disk.pool_id, volume=disk.volume)


async def _read(at: _At, writer: ExportWriter, wanted: _Disk, index: int, done: int, total: int) -> ExportedDisk:
    """Returns the disk, whose content is in the file now. Raises Busy if it was written meanwhile."""
    first = read = await _part(at, wanted.disk, 0)
    await writer.begin_disk(first.size_bytes)
    while True:
        percent = min(99, (done + read.part.end) * 100 // max(1, total))
        end = min(read.part.end, first.size_bytes)
        following = await _meanwhile(_part(at, wanted.disk, end), writer.add(read.part, percent=percent))
        _check_same(first, following, at, wanted)
        if end == first.size_bytes:
            break
        read = following
    file, file_bytes, sha256 = await writer.end_disk(index)
    return ExportedDisk(
        title=wanted.title, file=file, size_bytes=first.size_bytes, file_bytes=file_bytes, sha256=sha256,
        storage_pool=wanted.storage_pool, tags=wanted.disk.tags,
    )  # fmt: skip


async def _part(at: _At, disk: DiskSpec, start: int) -> ReadPart:
    """Changes nothing on the host, so that it needs no fencing token."""
    return await at.calls.call(
        at.target.host_id,
        HOST_READ_DISK,
        lambda access: ReadDiskCall(
            access=access, guest=at.target.spec.ref, pool_id=disk.pool_id, volume=disk.volume, start=start
        ),
        deadline_s=READ_DEADLINE_S,
    )


def _check_same(first: ReadPart, read: ReadPart, at: _At, wanted: _Disk) -> None:
    if (read.size_bytes, read.state) != (first.size_bytes, first.state):
        raise Busy(
            f"{wanted.title} of {at.target.spec.name} was written while it was exported, or the machine was started. "
            "It is exported again."
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
