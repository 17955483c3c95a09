"""Resizes the guest of a machine: the operation's handler."""

from __future__ import annotations

from common.errors import InnkeeperError, NotFound
from common.rpc.hardware_commands import HOST_RESIZE, ResizeCall
from common.rpc.host_commands import HOST_FIND, GuestCall
from common.serialization import from_dict
from common.values import GuestSize
from regiond.db.pool import Db
from regiond.machines import size_store
from regiond.machines.steps import Target, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0
FIND_DEADLINE_S = 20.0


class Resize:
    """Changes on the host what it can change now; the rest is made when the machine is next started."""

    kind = OperationKind.RESIZE

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, wanted = Target.of(operation), from_dict(operation.request["wanted"], GuestSize)
        await journal.step("resize", reaches_host=True, cores=wanted.cores, memory_mib=wanted.memory_mib)
        now = await self._resize(operation, target, wanted)

        async def record(db: Db) -> None:
            await size_store.record_size(db, target.machine_id, now, wanted)
            message = f"{operation.hostname} on {operation.host_name} has {now}"
            later = "" if now == wanted else f", and gets {wanted} when Innkeeper next starts it"
            await record_event(db, operation, "machine_resized", message + later)

        result = {"cores": now.cores, "memory_mib": now.memory_mib, "is_pending": now != wanted}
        return Outcome(result=result, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Gives the guest the size of before, as far as its host allows, and records what it has then."""
        target, request = Target.of(operation), operation.request
        before = from_dict(request["now"], GuestSize)
        was_wanted = from_dict(request["was_wanted"], GuestSize)
        now = before
        if operation.reached_host:
            await wait_for_command(self._calls, operation, target, journal)
            await journal.step("restore_size", reaches_host=True, cores=before.cores, memory_mib=before.memory_mib)
            now = await self._restored(operation, target, before)

        async def record(db: Db) -> None:
            await size_store.record_size(db, target.machine_id, now, was_wanted)

        return Outcome(undone=("size as before",) if now == before else (), record=record)

    async def _restored(self, operation: Operation, target: Target, before: GuestSize) -> GuestSize:
        """Returns the size of the guest; that of before if the host has no such guest, which the next refresh finds."""
        try:
            return await self._resize(operation, target, before)
        except NotFound:
            return before
        except InnkeeperError as error:
            if error.retryable:
                raise
        found = await self._calls.call(
            target.host_id,
            HOST_FIND,
            lambda access: GuestCall(access=access, guest=target.spec.ref),
            deadline_s=FIND_DEADLINE_S,
        )
        guest = found.guest
        return before if guest is None else GuestSize(cores=guest.cores, memory_mib=guest.memory_mib)

    async def _resize(self, operation: Operation, target: Target, size: GuestSize) -> GuestSize:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        reply = await self._calls.call(
            target.host_id,
            HOST_RESIZE,
            lambda access: ResizeCall(access=access, guest=target.spec.ref, size=size, fence=fence),
            deadline_s=DEADLINE_S,
        )
        return reply.size
