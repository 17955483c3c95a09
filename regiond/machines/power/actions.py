"""Powers machines on, off or through a cycle: the operation's handler."""

from __future__ import annotations

from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.machines.core.generation import write_generation
from regiond.machines.core.steps import POWER_OFF_GRACE_S, Target, note_refusals, record_power, set_power
from regiond.machines.values.power import PowerRequest
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation
from regiond.racks.calls.host_calls import HostCalls


class PowerMachine:
    """Powers a machine on, off or through a cycle. A guest that ignores a shutdown is powered off after `grace_s`."""

    kind = OperationKind.POWER

    def __init__(self, calls: HostCalls, *, grace_s: float = POWER_OFF_GRACE_S) -> None:
        self._calls = calls
        self._grace_s = grace_s

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target, action = Target.of(operation), operation.request_as(PowerRequest).action
        await write_generation(self._calls, operation, target, journal)
        await journal.step(f"power_{action.value}", reaches_host=True)
        reply = await set_power(self._calls, operation, target, action, grace_s=self._grace_s)
        await note_refusals(journal, reply)

        async def record(db: Db) -> None:
            await record_power(db, operation, target, reply)

        refused = {"size_refused": reply.size_refused} if reply.size_refused else {}
        return Outcome(result={"power_state": reply.power.value, **refused}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """Changes nothing: the next refresh of the host records the power state."""
        return Outcome()
