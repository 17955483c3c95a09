"""Starts machines that should run after their host was away, and accepts that machines are off."""

from __future__ import annotations

from functools import partial
from typing import assert_never
from uuid import UUID

import structlog

from common.errors import Busy, NotFound, WrongState
from common.process.periodic import PeriodicTask
from common.values import PowerAction, PowerState
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.schedule_store import refresh_within
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.operation_intents import open_operation
from regiond.machines.core.ownership_rules import check_owner
from regiond.machines.power.wanted_power import store
from regiond.machines.power.wanted_power.model import Stopped, ToStart, Verdict, due, verdict
from regiond.machines.values.model import MachineView
from regiond.machines.values.power import PowerRequest
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ROUND_EVERY_S = 10.0
REFRESH_WITHIN_S = 1.0


class WantedPowers:
    """Decides every few seconds, one region at a time, about machines that should run and are off.

    Stops nothing, and restarts nothing that runs. Each decision is a transaction of its own: a region that is killed
    leaves nothing half done, and the next round of any region continues.
    """

    def __init__(self, database: Database, installation_id: UUID) -> None:
        self._database = database
        self._installation_id = installation_id
        self._task = PeriodicTask("wanted_power", self.round, every_s=ROUND_EVERY_S, first_after_s=ROUND_EVERY_S)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def round(self) -> None:
        """Decides why machines are off, then starts those that are due. Idempotent."""
        await self._database.in_transaction(_decide)
        async with self._database.connection() as db:
            await refresh_within(db, await store.hosts_to_refresh(db), REFRESH_WITHIN_S)
            found, now = await store.starts(db), await store.now(db)
        for one in due(found.waiting, found.progress, now):
            try:
                await self._database.in_transaction(partial(self._start, one=one))
            except (Busy, WrongState, NotFound) as error:
                log.info("start_postponed", system_id=one.system_id, reason=error.message)

    async def _start(self, db: Db, *, one: ToStart) -> None:
        if not await store.try_lock(db) or not await store.is_to_start(db, one.machine_id):
            return
        machine = await view_store.read(db, one.system_id)
        operation_id = await open_operation(
            db, OperationKind.POWER, machine, self._installation_id, account_id=None,
            request=PowerRequest(action=PowerAction.ON, after_host=True),
        )  # fmt: skip
        if not await store.record_start(db, one.machine_id, operation_id):
            raise Busy(f"{machine.hostname} is on, or somebody has accepted that it is off.")
        message = f"{machine.hostname} ran before {machine.host_name} was away: task {operation_id} starts it"
        await Events.record(
            db, "machine_start_after_host", message, host_id=one.host_id, system_id=one.system_id,
            operation_id=operation_id,
        )  # fmt: skip

    async def accept_off(self, caller: Caller, system_id: str) -> MachineView:
        """Returns the machine, which should be off from now on; its guest does not change. Idempotent.

        Raises NotFound, NotAllowed, and WrongState unless it is off.
        """
        async with self._database.transaction() as db:
            await lifecycle_store.lock(db, [system_id])
            machine = await view_store.read(db, system_id, caller=caller)
            check_owner(caller, machine)
            if machine.power_state != PowerState.OFF:
                raise WrongState(
                    f"{machine.hostname} is {machine.power_state}, not off. To power it off: "
                    f"innkeeper machine power-off {system_id}"
                )
            if await store.accept_off(db, machine.id, caller.username):
                message = f"{machine.hostname} is off, and that was accepted: nothing starts it after its host was away"
                await Events.record(db, "machine_off_accepted", message, caller=caller, system_id=system_id)
            return await view_store.read(db, system_id)


async def _decide(db: Db) -> None:
    if not await store.try_lock(db):
        return
    now = await store.now(db)
    for one in await store.stopped(db):
        await _record(db, one, verdict(one, now))


async def _record(db: Db, one: Stopped, found: Verdict) -> None:
    match found:
        case Verdict.UNDECIDED:
            return
        case Verdict.HOST | Verdict.UNCLEAR:
            if found is Verdict.UNCLEAR and one.is_unclear:
                return
            await store.mark(db, one.machine_id, found.value)
            kind, level = "machine_should_run", Level.WARNING
            message = f"{one.hostname} should run, and is off since {one.host_name} was away"
            if found is Verdict.UNCLEAR:
                message = f"{one.hostname} should run, and is off: with {one.host_name}, or somebody stopped it there"
        case Verdict.STOPPED:
            await store.set_found_off(db, one.machine_id)
            kind, level = "machine_found_off", Level.INFO
            message = f"{one.hostname} was stopped by other means while {one.host_name} was up: it should be off now"
        case _:
            assert_never(found)
    await Events.record(db, kind, message, level=level, host_id=one.host_id, system_id=one.system_id)
