"""Operation handlers that remove leftover guests, orphaned volumes, copied markers and unused images."""

from __future__ import annotations

from datetime import timedelta

from common.errors import RackUnreachable
from common.rpc.commands.host_commands import (
    HOST_DECOMPOSE,
    HOST_DISOWN,
    HOST_REMOVE_VOLUMES,
    DecomposeCall,
    Fence,
    MarkerCall,
    RemoveVolumesCall,
)
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.hosts import guest_ownership
from regiond.hosts.discovery import orphaned_volume_store
from regiond.hosts.image_copies import removal
from regiond.hosts.image_copies import store as image_copy_store
from regiond.machines.core.steps import racks_text, record_event
from regiond.machines.remains import kept_disk_store
from regiond.machines.values.removals import (
    GuestCleanUp,
    ImageCopy,
    ImageCopyCleanUp,
    MarkedCopy,
    MarkerCleanUp,
    VolumeCleanUp,
)
from regiond.operations.handler import Journal, Outcome, fence_of
from regiond.operations.model import WAIT_FOR_EARLIER, Operation
from regiond.racks.calls.host_calls import HostCalls

CLEAN_UP_DEADLINE_S = 60.0
PENDING_S = 1800.0  # the wait for a rack that does not answer; a refresh reports a guest that it creates later


class CleanUp:
    """Removes the objects that its request names: a guest, volumes, the marker on a guest, or the copy of an image.

    Changes nothing else on the host. The guest has the marker of a machine that has a tombstone, and the id that was
    found or approved, if a refresh has found it; no guest uses the volumes; the guest that loses its marker is a copy
    of a machine's guest.
    """

    kind = OperationKind.CLEAN_UP

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        host_id = operation.host_id
        if host_id is None:
            return Outcome(result={"reason": "the host was removed"})
        if (marked := operation.request_if(MarkerCleanUp)) is not None:
            return await self._remove_marker(operation, marked.copy, host_id, journal)
        if (volumes := operation.request_if(VolumeCleanUp)) is not None:
            return await self._remove_volumes(operation, volumes, host_id, journal)
        if (image := operation.request_if(ImageCopyCleanUp)) is not None:
            return await self._remove_image_copy(operation, image.image_copy, host_id, journal)
        return await self._remove_guest(operation, operation.request_as(GuestCleanUp), host_id, journal)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Changes nothing: the next refresh finds the objects that remain."""
        return Outcome()

    async def _remove_guest(
        self, operation: Operation, request: GuestCleanUp, host_id: int, journal: Journal
    ) -> Outcome:
        guest = request.guest
        fence = fence_of(operation, str(guest.marker.machine_id))
        racks = await self._racks_that_may_create(operation, request, host_id, fence, journal)
        await journal.step("remove_leftover", reaches_host=True, guest=guest.name)
        await self._calls.call(
            host_id,
            HOST_DECOMPOSE,
            lambda access: DecomposeCall(
                access=access, guest=guest, fence=fence, volumes=request.volumes, guest_id=request.guest_id
            ),
            deadline_s=CLEAN_UP_DEADLINE_S,
        )
        if racks:
            raise RackUnreachable(
                f"{racks_text(racks)} may still create {guest.name}: its call for operation {request.earlier} is not "
                "known to have ended. What it creates is removed. The rack is asked again until it answers, for at "
                f"most {PENDING_S / 60:.0f} minutes.",
                host=host_id,
            )
        return Outcome(result={"removed": guest.name})

    async def _racks_that_may_create(
        self, operation: Operation, request: GuestCleanUp, host_id: int, fence: Fence, journal: Journal
    ) -> tuple[str, ...]:
        """Returns the racks that may still create the guest. Asks before the removal, so that none is missed."""
        if request.earlier_since is None:
            return ()
        await journal.step(WAIT_FOR_EARLIER, earlier=request.earlier)
        return await self._calls.racks_with_older_calls(
            host_id,
            fence,
            since=request.earlier_since,
            until=operation.created_at + timedelta(seconds=PENDING_S),
        )

    async def _remove_marker(self, operation: Operation, copy: MarkedCopy, host_id: int, journal: Journal) -> Outcome:
        marker, name = copy.marker, copy.name
        await journal.step("remove_marker_of_copy", reaches_host=True, guest=name)
        fence = fence_of(operation, str(marker.machine_id))
        await self._calls.call(
            host_id,
            HOST_DISOWN,
            lambda access: MarkerCall(
                access=access, guest_id=copy.key, guest_name=name, marker=marker, fence=fence, exactly=True
            ),
            deadline_s=CLEAN_UP_DEADLINE_S,
        )

        async def record(db: Db) -> None:
            await guest_ownership.clear_guest_marker(db, copy.id)
            message = f"Removed the ownership marker from {name} on {operation.host_name}, a copy of a machine's guest"
            await record_event(db, operation, "copy_unmarked", message)

        return Outcome(result={"guest": name}, record=record)

    async def _remove_volumes(
        self, operation: Operation, request: VolumeCleanUp, host_id: int, journal: Journal
    ) -> Outcome:
        marker, volumes = request.marker, request.orphaned_volumes
        names = [volume.name for volume in volumes]
        await journal.step("remove_orphaned_volumes", reaches_host=True, volumes=names)
        fence = fence_of(operation, str(marker.machine_id))
        await self._calls.call(
            host_id,
            HOST_REMOVE_VOLUMES,
            lambda access: RemoveVolumesCall(
                access=access,
                marker=marker,
                volumes=volumes,
                fence=fence,
                adopted=request.adopted,
            ),
            deadline_s=CLEAN_UP_DEADLINE_S,
        )

        async def record(db: Db) -> None:
            await orphaned_volume_store.delete_orphaned_volumes(db, host_id, volumes)
            if request.kept_disk is not None:
                await kept_disk_store.delete(db, request.kept_disk)
            message = f"Removed {', '.join(names)} from {operation.host_name}: no guest used it"
            await record_event(db, operation, "orphaned_volume_removed", message)

        return Outcome(result={"removed": names}, record=record)

    async def _remove_image_copy(
        self, operation: Operation, copy: ImageCopy, host_id: int, journal: Journal
    ) -> Outcome:
        await journal.step("remove_image_copy", reaches_host=True, sha256=copy.sha256, place=copy.place)
        await removal.remove_image_copy(self._calls, operation, host_id, copy.sha256, copy.pool_id)

        async def record(db: Db) -> None:
            await image_copy_store.delete_removed(db, operation.id)
            message = f"Removed the unused copy of {operation.hostname} from {copy.place} of {operation.host_name}"
            await record_event(db, operation, "image_copy_removed", message)

        return Outcome(result={"removed": copy.sha256}, record=record)
