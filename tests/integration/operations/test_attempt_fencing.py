"""No write of an attempt that no longer holds its lease changes the operation or its log.

The attempt number and the owner must both match. A region that was frozen can lease its own operation again, so the
owner alone does not tell its attempts apart; a lease that was released has the attempt number of the last one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from common.errors import Busy, DriverFailed, HostUnreachable, InnkeeperError
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database, Db
from regiond.operations import intent_store, lease_store
from regiond.operations.attempt import Attempt
from regiond.operations.handler import Journal, LeaseLost, Outcome
from regiond.operations.model import ErrorRecord, Operation, OperationState, Parent
from tests.integration.support.rigs.scripted_operations import (
    ScriptedHandler,
    acquire,
    lapse_lease,
    open_operation,
    read,
)
from tests.postgresql.database import fetchval

pytestmark = pytest.mark.database

ERROR = ErrorRecord(code="driver_failed", message="the first error")
_STORED = """
    select jsonb_build_object(
               'operation', (select to_jsonb(o) from operation o where o.id = $1),
               'log', (select jsonb_agg(l order by l.id) from operation_log l where l.operation_id = $1),
               'children', (select count(*) from operation where parent_id = $1))
"""

Loss = Callable[[Database, UUID, int], Awaitable[None]]
Write = Callable[[Journal], Awaitable[None]]


async def stored(database: Database, operation_id: int) -> Any:
    """All columns of the operation, its log, and the number of its children."""
    return await fetchval(database, _STORED, operation_id)


async def leased(database: Database, owner: UUID, state: OperationState) -> Operation:
    """An operation in this state, leased to `owner` in its first attempt."""
    await open_operation(database, max_failures=9)
    (operation,) = await acquire(database, owner)
    async with database.connection() as db:
        if state is OperationState.UNDOING:
            assert await lease_store.set_state(db, operation, owner, state, ERROR)
        await lease_store.append_log(db, operation.id, operation.attempt, "first", "started", {})
    return await read(database, operation.id)


async def to_another_region(database: Database, _: UUID, operation_id: int) -> None:
    await lapse_lease(database, operation_id)
    assert [one.attempt for one in await acquire(database)] == [2]


async def to_a_newer_attempt(database: Database, owner: UUID, operation_id: int) -> None:
    await lapse_lease(database, operation_id)
    assert [one.attempt for one in await acquire(database, owner)] == [2]


async def to_nobody(database: Database, owner: UUID, _: int) -> None:
    async with database.connection() as db:
        await lease_store.release_leases(db, owner)


LOST = pytest.mark.parametrize("lose", [to_another_region, to_a_newer_attempt, to_nobody])


async def step(journal: Journal) -> None:
    await journal.step("late", reaches_host=True)


async def host_not_reached(journal: Journal) -> None:
    await journal.host_not_reached()


async def note(journal: Journal) -> None:
    await journal.note("late")


async def never(_: Db) -> None:
    raise AssertionError("a late attempt wrote")


async def write(journal: Journal) -> None:
    await journal.write("late", never)


@LOST
@pytest.mark.parametrize("late", [step, host_not_reached, note, write])
@pytest.mark.parametrize("state", [OperationState.RUNNING, OperationState.UNDOING])
async def test_a_late_attempt_journals_nothing(
    database: Database, late: Write, lose: Loss, state: OperationState
) -> None:
    owner = uuid4()
    held = await leased(database, owner, state)
    attempt = Attempt(database, owner, ScriptedHandler(), held)
    if late is host_not_reached:
        await attempt.step("reach", reaches_host=True)
    await lose(database, owner, held.id)
    before = await stored(database, held.id)
    with pytest.raises(LeaseLost):
        await late(attempt)
    assert await stored(database, held.id) == before


def outcome_of(ending: Outcome | InnkeeperError) -> Callable[[Operation, Journal], Awaitable[Outcome]]:
    async def act(_: Operation, __: Journal) -> Outcome:
        if isinstance(ending, InnkeeperError):
            raise ending
        return ending

    return act


@LOST
@pytest.mark.parametrize(
    ("state", "ending"),
    [
        pytest.param(OperationState.RUNNING, Outcome(result={"late": True}), id="succeeds"),
        pytest.param(OperationState.RUNNING, Outcome(rejection=DriverFailed("late")), id="is rejected"),
        pytest.param(OperationState.RUNNING, DriverFailed("late"), id="fails"),
        pytest.param(OperationState.RUNNING, HostUnreachable("late"), id="is retried"),
        pytest.param(OperationState.RUNNING, Outcome(resumes_within_s=9.0), id="is suspended"),
        pytest.param(OperationState.UNDOING, Outcome(undone=("late",)), id="is undone"),
        pytest.param(OperationState.UNDOING, Outcome(rescheduled=True), id="is rescheduled"),
        pytest.param(OperationState.UNDOING, Outcome(resumes_within_s=9.0), id="undoing is suspended"),
        pytest.param(OperationState.UNDOING, Busy("late"), id="undoing waits"),
    ],
)
async def test_a_late_attempt_ends_without_a_trace(
    database: Database, state: OperationState, ending: Outcome | InnkeeperError, lose: Loss
) -> None:
    owner = uuid4()
    held = await leased(database, owner, state)
    await lose(database, owner, held.id)
    before = await stored(database, held.id)
    handler = ScriptedHandler(on_run=outcome_of(ending), on_undo=outcome_of(ending))
    with pytest.raises(LeaseLost):
        await Attempt(database, owner, handler, held).run()
    assert await stored(database, held.id) == before


@LOST
async def test_a_late_attempt_does_not_begin_to_undo_a_cancelled_operation(database: Database, lose: Loss) -> None:
    owner = uuid4()
    held = await leased(database, owner, OperationState.RUNNING)
    await lose(database, owner, held.id)
    before = await stored(database, held.id)
    with pytest.raises(LeaseLost):
        await Attempt(database, owner, ScriptedHandler(), evolve(held, cancel_requested=True)).run()
    assert await stored(database, held.id) == before


@pytest.mark.parametrize("lose", [to_another_region, to_a_newer_attempt])
async def test_a_late_attempt_opens_no_children(database: Database, lose: Loss) -> None:
    owner = uuid4()
    held = await leased(database, owner, OperationState.RUNNING)
    await lose(database, owner, held.id)
    before = await stored(database, held.id)
    late, current = [Parent(id=held.id, attempt=attempt) for attempt in (1, 2)]
    child: dict[str, Any] = {"account_id": None, "system_id": "abc", "hostname": "web", "request": {}, "error": ERROR}
    async with database.connection() as db:
        assert not await intent_store.insert_failed_child(db, OperationKind.DEPLOY, late, **child)
        with pytest.raises(Busy):
            await intent_store.insert(
                db, OperationKind.CLEAN_UP, host_id=None, host_name=None, parent=late, request={}, max_failures=1
            )
        assert await stored(database, held.id) == before
        assert await intent_store.insert_failed_child(db, OperationKind.DEPLOY, current, **child)
