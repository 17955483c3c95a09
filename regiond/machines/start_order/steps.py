"""Sets the order in which guests start with their host: the operation's handler."""

from __future__ import annotations

from common.boot import StartOrder
from common.errors import InnkeeperError
from common.phrases import number_of
from common.rpc.hardware_commands import HOST_SET_START_ORDER, SetStartOrderCall
from common.serialization import from_dict
from regiond.db.pool import Db
from regiond.machines import boot_store
from regiond.machines.steps import Target, record_event, wait_for_command
from regiond.operations.model import Operation, OperationKind
from regiond.operations.service import Journal, Outcome, fence_of
from regiond.racks.service import HostCalls

DEADLINE_S = 60.0


class SetStartOrder:
    """Sets priority and delay on the host, which a running guest does not notice."""

    kind = OperationKind.SET_START_ORDER

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, wanted = Target.of(operation), from_dict(operation.request["wanted"], StartOrder)
        await journal.step("set_start_order", reaches_host=True, priority=wanted.priority, delay_s=wanted.delay_s)
        found = await self._set(operation, target, wanted)

        async def record(db: Db) -> None:
            await boot_store.record_start_order(db, target.machine_id, found)
            message = (
                f"{operation.hostname} starts with {operation.host_name} by priority {found.priority}, "
                f"{number_of(found.delay_s, 'second')} before the next one"
            )
            await record_event(db, operation, "start_order_set", message)

        return Outcome(result={"priority": found.priority, "delay": found.delay_s}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Sets the order of before, if that was known."""
        target, before = Target.of(operation), operation.request["before"]
        if not operation.reached_host or before is None:
            return Outcome()
        await wait_for_command(self._calls, operation, target, journal)
        await journal.step("restore_start_order", reaches_host=True)
        try:
            found = await self._set(operation, target, from_dict(before, StartOrder))
        except InnkeeperError as error:
            if error.retryable:
                raise
            return Outcome()

        async def record(db: Db) -> None:
            await boot_store.record_start_order(db, target.machine_id, found)

        return Outcome(undone=("start order as before",), record=record)

    async def _set(self, operation: Operation, target: Target, order: StartOrder) -> StartOrder:
        fence = fence_of(operation, str(target.spec.marker.machine_id))
        return await self._calls.call(
            target.host_id,
            HOST_SET_START_ORDER,
            lambda access: SetStartOrderCall(access=access, guest=target.spec.ref, order=order, fence=fence),
            deadline_s=DEADLINE_S,
        )
