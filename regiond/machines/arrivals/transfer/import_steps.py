"""Fills the disks of a machine that is imported: a part of the handler of its compose.

The parts come from the file in the region, and have no more meaning on the host than any other data: neither libvirt
nor QEMU reads the image.
"""

from __future__ import annotations

from common.disks.disk_content import DiskPart
from common.errors import Busy, WrongState
from common.guests.guest_spec import DiskSpec
from common.rpc.commands.hardware_commands import (
    HOST_FILL_DISK,
    HOST_MAKE_BOOTABLE,
    HOST_WRITE_DISK,
    FillDiskCall,
    MakeBootableCall,
    WriteDiskCall,
)
from regiond.exports.model import Export, ExportedDisk
from regiond.exports.reading import DiskParts
from regiond.machines.core.steps import Target, racks_text
from regiond.machines.values.requests import ImportedMachine, StoredCompose
from regiond.operations.handler import Journal, fence_of
from regiond.operations.model import WAIT_FOR_COMMAND, Operation
from regiond.racks.calls.host_calls import HostCalls
from regiond.racks.rack_content import RackContent

FILL_DEADLINE_S = 1800.0  # of a whole disk, for hosts that take no less
WRITE_DEADLINE_S = 120.0  # of one part, whose zeros a host may have to write


class ImportedDisks:
    """Implements `DiskContent` of compose. An interrupted import writes all disks again."""

    def __init__(self, calls: HostCalls, parts: DiskParts, content: RackContent) -> None:
        self._calls = calls
        self._parts = parts
        self._content = content

    async def check(self, operation: Operation, target: Target, journal: Journal) -> None:
        """Raises WrongState for a file that is gone or damaged; Busy while a rack writes for an earlier attempt, and
        if another region has the file, which then continues."""
        await journal.step("check_file")
        await self._parts.require(_imported(operation).export_id)
        if operation.reached_host:
            await journal.step(WAIT_FOR_COMMAND)
            fence = fence_of(operation, str(target.spec.marker.machine_id))
            running = await self._calls.exclude_older(target.host_id, fence, since=await journal.step_began_at())
            if running:
                raise Busy(f"{racks_text(running)} may still write to the disks for an earlier attempt.")

    async def fill(self, operation: Operation, target: Target, journal: Journal) -> None:
        imported = _imported(operation)
        found = await self._parts.read(imported.export_id)
        for spec, disk in zip(target.spec.disks, imported.disks, strict=True):
            if spec.size_bytes < disk.size_bytes:  # a product may make disks that are a little larger
                raise WrongState(f"{disk.title} has {disk.size_bytes} bytes in the file, and {spec.size_bytes} here.")
            if imported.whole_disks:
                await self._fill(operation, target, journal, found, spec, disk)
                continue
            await journal.step("write_disk", reaches_host=True, disk=disk.title, size_bytes=disk.size_bytes)
            async for part in self._parts.parts(found, disk):
                await self._write(operation, target, spec, part)
        await journal.step("make_bootable", reaches_host=True)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_MAKE_BOOTABLE,
            lambda access: MakeBootableCall(access=access, spec=target.spec, fence=fence),
            deadline_s=WRITE_DEADLINE_S,
        )

    async def _fill(
        self, operation: Operation, target: Target, journal: Journal, found: Export, spec: DiskSpec,
        disk: ExportedDisk,
    ) -> None:  # fmt: skip
        """The host gets an image that this region writes anew, since it opens it."""
        await journal.step("prepare_image", disk=disk.title, size_bytes=disk.size_bytes)
        async with self._parts.image(found, disk) as file:
            await journal.step("write_disk", reaches_host=True, disk=disk.title, size_bytes=disk.size_bytes)
            fence = fence_of(operation, str(target.spec.marker.machine_id))
            async with self._content.offer_file(file.image.sha256, file.read):
                await self._calls.call(
                    target.host_id,
                    HOST_FILL_DISK,
                    lambda access: FillDiskCall(
                        access=access, spec=target.spec, volume=spec.volume, image=file.image, fence=fence
                    ),
                    deadline_s=FILL_DEADLINE_S,
                )

    async def _write(self, operation: Operation, target: Target, spec: DiskSpec, part: DiskPart) -> None:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_WRITE_DISK,
            lambda access: WriteDiskCall(
                access=access, guest=target.spec.ref, pool_id=spec.pool_id, volume=spec.volume, part=part, fence=fence
            ),
            deadline_s=WRITE_DEADLINE_S,
        )


def _imported(operation: Operation) -> ImportedMachine:
    imported = operation.request_as(StoredCompose).import_
    if imported is None:
        raise ValueError(f"operation {operation.id} imports no file")
    return imported
