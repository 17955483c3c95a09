"""Giving back a machine that stays: it is switched off, then it is nobody's. May start again from its first line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import NotFound
from common.values import PowerAction, PowerState
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.machines import life_store, store
from regiond.machines.life import Event, MachineState
from regiond.machines.steps import Target, set_power
from regiond.operations.model import Operation, OperationKind
from regiond.operations.work import Journal, Outcome
from regiond.racks.calls import HostCalls

if TYPE_CHECKING:
    from regiond.db.pool import Db


class ReleaseMachine:
    """The owner and what was kept for the owner go when the guest is off, and not before."""

    kind = OperationKind.RELEASE

    def __init__(self, calls: HostCalls) -> None:
        self._calls = calls

    async def run(self, operation: Operation, journal: Journal) -> Outcome:
        target = Target.of(operation)
        await journal.step("power_off", reaches_host=True)
        power = await self._switched_off(operation, target, journal)

        async def record(db: Db) -> None:
            await life_store.happens(db, target.machine_id, Event.RELEASED)
            await life_store.free(db, target.machine_id)
            if operation.request.get("was") == MachineState.BROKEN:
                await life_store.happens(db, target.machine_id, Event.MARK_BROKEN)
            elif power is None:
                await life_store.happens(db, target.machine_id, Event.LOST)
            if power is not None:
                await store.set_power(db, target.machine_id, power.value)

        return Outcome(result={"system_id": target.system_id}, record=record)

    async def undo(self, operation: Operation, journal: Journal) -> Outcome:
        """It is its owner's as before, on or off."""
        if operation.machine_id is None:
            return Outcome()
        target = Target.of(operation)

        async def record(db: Db) -> None:
            await life_store.happens(db, target.machine_id, Event.RELEASE_FAILED)
            if operation.request.get("was") == MachineState.BROKEN:
                await life_store.happens(db, target.machine_id, Event.MARK_BROKEN)
            message = f"{target.spec.name} was not released: {operation.error_message}"
            await Events.record(
                db, "release_failed", message, level=Level.ERROR, host_id=target.host_id, system_id=target.system_id,
                operation_id=operation.id,
            )  # fmt: skip

        return Outcome(undone=("the machine is its owner's as before",), record=record)

    async def _switched_off(self, operation: Operation, target: Target, journal: Journal) -> PowerState | None:
        """None when the host has no such guest: then there is nothing to switch off."""
        try:
            return await set_power(self._calls, operation, target, PowerAction.FORCE_OFF)
        except NotFound as error:
            await journal.note("its guest is not there", reason=error.message)
            return None
