"""Adds, grows and removes disks of the guest of a machine: the operations' handlers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.discovery import VolumeRef
from common.errors import Cancelled, InnkeeperError, NotFound
from common.guest_spec import DiskSpec
from common.rpc.hardware_commands import (
    HOST_ATTACH_DISK,
    HOST_DETACH_DISK,
    HOST_GROW_DISK,
    AttachDiskCall,
    DetachDiskCall,
    GrowDiskCall,
)
from common.rpc.host_commands import HOST_REMOVE_VOLUMES, RemoveVolumesCall
from common.serialization import from_dict
from common.units import gb
from common.values import DiskSize, Guest
from common.volume_names import marker_of_ours
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.hosts.service import record_guest
from regiond.ledger import service as ledger
from regiond.machines import disk_size_store, kept_disk_store
from regiond.machines.disks import store
from regiond.machines.generation import write_generation
from regiond.machines.model import KeptDisk
from regiond.machines.steps import Target, find_guest, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, error_of, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0


class DiskCalls:
    """The calls to a host that change disks of a guest."""

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def attach(self, operation: Operation, target: Target, *, create: bool) -> None:
        disk, index = from_dict(operation.request["disk"], DiskSpec), operation.request["index"]
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_ATTACH_DISK,
            lambda access: AttachDiskCall(
                access=access, guest=target.spec.ref, disk=disk, index=index, create=create, fence=fence
            ),
            deadline_s=DEADLINE_S,
        )

    async def detach(self, operation: Operation, target: Target) -> None:
        disk = from_dict(operation.request["disk"], DiskSpec)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_DETACH_DISK,
            lambda access: DetachDiskCall(
                access=access, guest=target.spec.ref, pool_id=disk.pool_id, volume=disk.volume, fence=fence
            ),
            deadline_s=DEADLINE_S,
        )

    async def remove_volume(self, operation: Operation, target: Target, disk: DiskSpec) -> None:
        """Deletes the volume of a disk of the machine's own, which no guest uses. Idempotent.

        An adopted disk's name has no marker: that the operation was opened shows that it was adopted.
        """
        named_after = marker_of_ours(disk.volume, target.spec.marker.installation_id)
        marker = named_after or target.spec.marker
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_REMOVE_VOLUMES,
            lambda access: RemoveVolumesCall(
                access=access, marker=marker, volumes=(VolumeRef(pool_id=disk.pool_id, name=disk.volume),), fence=fence,
                adopted=named_after is None,
            ),
            deadline_s=DEADLINE_S,
        )  # fmt: skip

    async def grow(self, operation: Operation, target: Target, size: DiskSize) -> int:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        grown = await self._calls.call(
            target.host_id,
            HOST_GROW_DISK,
            lambda access: GrowDiskCall(access=access, guest=target.spec.ref, size=size, fence=fence),
            deadline_s=DEADLINE_S,
        )
        return grown.size_bytes

    async def removed(self, operation: Operation, target: Target, disk: DiskSpec) -> bool:
        """As `remove_volume`. Returns False if the host does not delete the volume, as one that something else uses."""
        try:
            await self.remove_volume(operation, target, disk)
        except InnkeeperError as error:
            if error.retryable:
                raise
            return False
        return True


class AddDisk:
    """Creates a disk, or takes a kept one, and gives it to the guest. Its row and its claim exist already."""

    kind = OperationKind.ADD_DISK

    def __init__(self, calls: HostCalls) -> None:
        self._all_calls = calls
        self._calls = DiskCalls(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request
        disk = from_dict(request["disk"], DiskSpec)
        await write_generation(self._all_calls, operation, target, journal)
        await journal.step("attach_disk", reaches_host=True, volume=disk.volume, size_bytes=disk.size_bytes)
        await self._calls.attach(operation, target, create=request["kept"] is None)
        guest = await find_guest(self._all_calls, target)

        async def record(db: Db) -> None:
            if guest is not None:
                await record_guest(db, target.host_id, guest, target.machine_id, guest.power)
            await store.settle(db, target.machine_id)
            message = f"{operation.hostname} on {operation.host_name} has {request['title']}: {_where(request)}"
            await record_event(db, operation, "machine_disk_added", message)

        return Outcome(result={"volume": disk.volume}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Takes the disk from the guest again. A new volume is deleted; a kept disk is kept again.

        If the guest does not give it back, the disk stays, since its data may be in use. A host that rejected the disk
        has made no volume: one of that name was there before, and nothing is known of its content.
        """
        target, request = Target.of(operation), operation.request
        disk, is_removed = from_dict(request["disk"], DiskSpec), True
        if operation.reached_host:
            await wait_for_command(self._all_calls, operation, target, journal)
            await journal.step("detach_disk", reaches_host=True)
            if not await self._detached(operation, target):
                return Outcome(record=lambda db: self._stays(db, operation, target))
            if request["kept"] is None and not _was_rejected(operation):
                is_removed = await self._calls.removed(operation, target, disk)

        async def record(db: Db) -> None:
            await store.remove(db, target.machine_id, disk.pool_id, disk.volume)
            await ledger.free_storage(db, target.machine_id, request["storage_pool_id"], disk.size_bytes)
            if request["kept"] is not None:
                await kept_disk_store.restore(db, from_dict(request["kept"], KeptDisk))
            if not is_removed:
                message = f"{_where(request)} of {operation.host_name}, made for {operation.hostname}, was not deleted"
                await record_event(db, operation, "machine_disk_removed", message, level=Level.WARNING)

        return Outcome(undone=("disk not added",), record=record)

    async def _detached(self, operation: Operation, target: Target) -> bool:
        """Returns False if the guest keeps the disk for good."""
        try:
            await self._calls.detach(operation, target)
        except NotFound:
            return True
        except InnkeeperError as error:
            if error.retryable:
                raise
            return False
        return True

    async def _stays(self, db: Db, operation: Operation, target: Target) -> None:
        await store.settle(db, target.machine_id)
        message = (
            f"{operation.hostname} on {operation.host_name} keeps the disk {operation.request['title']}: it is in use"
        )
        await record_event(db, operation, "machine_disk_added", message, level=Level.WARNING)


class GrowDisk:
    """Makes a disk larger, now if the host can; else when the machine is next started."""

    kind = OperationKind.GROW_DISK

    def __init__(self, calls: HostCalls) -> None:
        self._all_calls = calls
        self._calls = DiskCalls(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request
        wanted = from_dict(request["size"], DiskSize)
        await journal.step("grow_disk", reaches_host=True, volume=wanted.volume, size_bytes=wanted.size_bytes)
        now_bytes = await self._calls.grow(operation, target, wanted)
        is_pending = now_bytes < wanted.size_bytes

        async def record(db: Db) -> None:
            await _record_size(db, target, wanted, now_bytes)
            await _free_rest(db, operation, target, max(now_bytes, wanted.size_bytes))
            message = f"{request['title']} of {operation.hostname} on {operation.host_name} has {gb(now_bytes)}"
            later = f", and gets {gb(wanted.size_bytes)} when Innkeeper next starts the VM" if is_pending else ""
            await record_event(db, operation, "machine_disk_grown", message + later)

        result = {"disk": request["disk_id"], "size_bytes": now_bytes, "is_pending": is_pending}
        return Outcome(result=result, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Records the size that the disk has: a disk that has grown stays as it is.

        If the host does not know the size, such as that of a disk without a volume, nothing is recorded, and the claim
        stays for the larger size until a refresh finds what the disk takes.
        """
        target, request = Target.of(operation), operation.request
        wanted = from_dict(request["size"], DiskSize)
        now_bytes: int = request["was_bytes"]
        if operation.reached_host:
            await wait_for_command(self._all_calls, operation, target, journal)
            now_bytes = _known_size(await find_guest(self._all_calls, target), wanted)

        async def record(db: Db) -> None:
            await store.set_pending(db, request["disk_id"], request["was_pending_bytes"])
            if not now_bytes:
                await store.settle(db, target.machine_id)
                return
            await _record_size(db, target, wanted, now_bytes)
            await _free_rest(db, operation, target, max(now_bytes, request["was_pending_bytes"] or 0))

        return Outcome(undone=("size as before",) if now_bytes == request["was_bytes"] else (), record=record)


class RemoveDisk:
    """Takes a disk from the guest. Its volume is deleted, or kept."""

    kind = OperationKind.REMOVE_DISK

    def __init__(self, calls: HostCalls) -> None:
        self._all_calls = calls
        self._calls = DiskCalls(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request
        disk = from_dict(request["disk"], DiskSpec)
        await journal.step("detach_disk", reaches_host=True, volume=disk.volume)
        await self._calls.detach(operation, target)
        if not request["keep"]:
            await journal.step("remove_volume", reaches_host=True, volume=disk.volume)
            await self._calls.remove_volume(operation, target, disk)

        async def record(db: Db) -> None:
            kept_id = await _record_removal(db, operation, target, keep=request["keep"])
            becomes = "was deleted" if kept_id is None else f"is kept as disk {kept_id}"
            message = (
                f"{request['title']} of {operation.hostname} on {operation.host_name} {becomes}: {_where(request)}"
            )
            await record_event(db, operation, "machine_disk_removed", message)

        return Outcome(result={"disk": request["disk_id"], "kept": request["keep"]}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Gives the guest its disk again. If that is no longer possible, the disk is kept: nothing says it is gone."""
        if not operation.reached_host:
            return Outcome(undone=("disk not removed",))
        target = Target.of(operation)
        await wait_for_command(self._all_calls, operation, target, journal)
        if _had_no_such_disk(operation):
            return Outcome(undone=("disk not removed",))
        await journal.step("attach_disk", reaches_host=True)
        try:
            await self._calls.attach(operation, target, create=False)
        except InnkeeperError as error:
            if error.retryable:
                raise
            if await find_guest(self._all_calls, target) is None:
                return Outcome(undone=("disk not removed",))
            return Outcome(record=lambda db: self._kept(db, operation, target))
        return Outcome(undone=("disk not removed",), record=lambda db: store.settle(db, target.machine_id))

    async def _kept(self, db: Db, operation: Operation, target: Target) -> None:
        kept_id = await _record_removal(db, operation, target, keep=True)
        message = (
            f"{operation.request['title']} of {operation.hostname} could not be attached again, and is kept as disk "
            f"{kept_id}: {_where(operation.request)}"
        )
        await record_event(db, operation, "machine_disk_removed", message, level=Level.WARNING)


def _known_size(guest: Guest | None, disk: DiskSize) -> int:
    """Returns 0 if it is unknown."""
    disks = () if guest is None else guest.disks
    found = (one for one in disks if (one.pool_id, one.volume) == (disk.pool_id, disk.volume))
    return next((one.size_bytes for one in found if not one.missing), 0)


async def _record_size(db: Db, target: Target, wanted: DiskSize, now_bytes: int) -> None:
    size = DiskSize(pool_id=wanted.pool_id, volume=wanted.volume, size_bytes=now_bytes)
    await disk_size_store.record_sizes(db, target.machine_id, [size])
    await store.settle(db, target.machine_id)


async def _free_rest(db: Db, operation: Operation, target: Target, used_bytes: int) -> None:
    """Frees what the machine claims for the disk beyond `used_bytes`: it claimed the larger of all sizes."""
    request = operation.request
    wanted = from_dict(request["size"], DiskSize)
    held_bytes = max(request["was_bytes"], request["was_pending_bytes"] or 0, wanted.size_bytes)
    if held_bytes > used_bytes:
        await ledger.free_storage(db, target.machine_id, request["storage_pool_id"], held_bytes - used_bytes)


async def _record_removal(db: Db, operation: Operation, target: Target, *, keep: bool) -> int | None:
    """Frees the claim and deletes the row. Returns the id of the kept disk."""
    request = operation.request
    disk = from_dict(request["disk"], DiskSpec)
    await ledger.free_storage(db, target.machine_id, request["storage_pool_id"], request["held_bytes"])
    kept_id = await kept_disk_store.keep(db, target.machine_id, request["disk_id"]) if keep else None
    await store.remove(db, target.machine_id, disk.pool_id, disk.volume)
    return kept_id


def _was_rejected(operation: Operation) -> bool:
    """Returns whether the host answered that it changes nothing; not after a cancellation or a lost connection."""
    error = error_of(operation)
    return not error.retryable and error.code != Cancelled.code


def _had_no_such_disk(operation: Operation) -> bool:
    """Returns whether the host has no such guest, or answered that its disk is another file of that name: nothing was
    detached, and a volume of the name may be somebody else's.
    """
    return error_of(operation).code == NotFound.code


def _where(request: Mapping[str, Any]) -> str:
    disk = from_dict(request["disk"], DiskSpec)
    return f"{disk.volume} ({gb(disk.size_bytes)}) in {request['storage_pool']}"
