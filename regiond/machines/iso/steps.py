"""Puts ISO images into the drives of guests and takes them out: the operations' handlers."""

from __future__ import annotations

from common.boot import IsoState
from common.deployment_spec import ImageRef
from common.errors import InnkeeperError
from common.rpc.hardware_commands import HOST_EJECT_ISO, HOST_INSERT_ISO, EjectIsoCall, InsertIsoCall
from common.rpc.host_commands import HOST_COPY_IMAGE, CopyImageCall
from common.serialization import from_dict
from regiond.db.pool import Db
from regiond.hosts import service as host_service
from regiond.machines import boot_store
from regiond.machines.generation import write_generation
from regiond.machines.steps import Target, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0
COPY_DEADLINE_S = 1800.0


class _Drive:
    """The calls to a host about the drive of a guest."""

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def insert(
        self, operation: Operation, target: Target, sha256: str, pool_id: str, *, check_only: bool = False
    ) -> IsoState:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        return await self._calls.call(
            target.host_id,
            HOST_INSERT_ISO,
            lambda access: InsertIsoCall(
                access=access,
                guest=target.spec.ref,
                sha256=sha256,
                pool_id=pool_id,
                check_only=check_only,
                fence=fence,
            ),
            deadline_s=DEADLINE_S,
        )

    async def eject(self, operation: Operation, target: Target) -> IsoState:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        return await self._calls.call(
            target.host_id,
            HOST_EJECT_ISO,
            lambda access: EjectIsoCall(access=access, guest=target.spec.ref, fence=fence),
            deadline_s=DEADLINE_S,
        )


class InsertIso:
    """Copies the image to the host unless it is there, then puts it into the drive."""

    kind = OperationKind.INSERT_ISO

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls
        self._drive = _Drive(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, request = Target.of(operation), operation.request
        image, pool_id = from_dict(request["image"], ImageRef), str(request["pool"])
        await journal.step("check_drive")
        await self._drive.insert(operation, target, image.sha256, pool_id, check_only=True)
        await write_generation(self._calls, operation, target, journal)
        await journal.write(
            "claim_image_copy", lambda db: host_service.claim_image_copy(db, target.host_id, image, pool_id)
        )
        await journal.step("copy_image", reaches_host=True)
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        await self._calls.call(
            target.host_id,
            HOST_COPY_IMAGE,
            lambda access: CopyImageCall(access=access, image=image, pool_id=pool_id, fence=fence),
            deadline_s=COPY_DEADLINE_S,
        )
        await journal.step("insert_iso", reaches_host=True)
        state = await self._drive.insert(operation, target, image.sha256, pool_id)

        async def record(db: Db) -> None:
            await host_service.record_image_copied(db, target.host_id, image, pool_id)
            await boot_store.record_iso(db, target.machine_id, state)
            when = "" if state.now == state.after else " from its next start on"
            message = f"{operation.hostname} on {operation.host_name} has {request['name']} in its drive{when}"
            await record_event(db, operation, "iso_inserted", message)

        return Outcome(result={"image": request["name"], "is_pending": state.now != state.after}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Leaves in the drive what was there before. The copy stays on the host until it is unused for long."""
        target, before = Target.of(operation), str(operation.request["before"])
        if not operation.reached_host:
            return Outcome()
        await wait_for_command(self._calls, operation, target, journal)
        await journal.step("restore_drive", reaches_host=True)
        try:
            if before:
                state = await self._drive.insert(operation, target, before, str(operation.request["pool"]))
            else:
                state = await self._drive.eject(operation, target)
        except InnkeeperError as error:
            if error.retryable and error.code != "image_missing":
                raise
            return Outcome()

        async def record(db: Db) -> None:
            await boot_store.record_iso(db, target.machine_id, state)

        return Outcome(undone=("drive as before",), record=record)


class EjectIso:
    """Takes the region's image out of the drive."""

    kind = OperationKind.EJECT_ISO

    def __init__(self, calls: HostCalls) -> None:
        self._drive = _Drive(calls)

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target = Target.of(operation)
        await journal.step("eject_iso", reaches_host=True)
        state = await self._drive.eject(operation, target)

        async def record(db: Db) -> None:
            await boot_store.record_iso(db, target.machine_id, state)
            name = operation.request["name"] or "any ISO image"
            message = f"{operation.hostname} on {operation.host_name} no longer has {name} in its drive"
            await record_event(db, operation, "iso_ejected", message)

        return Outcome(record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Changes nothing: a refresh records what is in the drive, and the image can be inserted again."""
        return Outcome()
