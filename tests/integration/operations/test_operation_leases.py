"""Leases of the operation engine on a real database: lapsed, lost and renewed; what their attempts may write."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from regiond.db.pool import Database
from regiond.operations import lease_store
from regiond.operations.attempt import Attempt
from regiond.operations.handler import Journal, LeaseLost, Outcome
from regiond.operations.model import ErrorRecord, Operation, OperationState
from tests.integration.support.rigs.scripted_operations import (
    PausedStep,
    ScriptedHandler,
    acquire,
    failing,
    lapse_lease,
    open_operation,
    read,
    running,
    wait_until_ended,
)
from tests.postgresql.database import execute
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

END = """
    update operation set state = 'succeeded', result = '{}', finished_at = now(), lease_owner = null, lease_until = null
     where id = $1
"""
TAKE_OVER = "update operation set lease_owner = $2, lease_until = now() + interval '1 hour' where id = $1"


async def test_a_leased_operation_is_acquired_only_after_its_lease_lapses(database: Database) -> None:
    operation_id = await open_operation(database)
    (held,) = await acquire(database)
    assert held.id == operation_id
    assert await acquire(database) == []
    await lapse_lease(database, operation_id)
    (again,) = await acquire(database)
    assert again.attempt == held.attempt + 1


async def test_an_attempt_that_lost_its_lease_writes_nothing(database: Database) -> None:
    """A region freezes during a step and resumes after another region has continued the operation."""
    paused, counted = PausedStep(), list[Operation]()
    operation_id = await open_operation(database)
    frozen = uuid4()
    (held,) = await acquire(database, frozen)
    attempt = Attempt(database, frozen, ScriptedHandler(on_run=paused), held, on_ended=counted.append)
    late = asyncio.create_task(attempt.run())
    await paused.started.wait()
    await lapse_lease(database, operation_id)
    async with running(database, failing()) as engine:
        done = await wait_until_ended(database, engine, operation_id)
        paused.proceed.set()
        with pytest.raises(LeaseLost):
            await late
    after = await read(database, operation_id)
    assert (after, after.result, after.attempt) == (done, {"done": True}, 2)
    assert counted == [], "the other region counts it"


async def test_every_kind_of_write_without_a_lease_is_rejected(database: Database) -> None:
    await open_operation(database)
    frozen = uuid4()
    (held,) = await acquire(database, frozen)
    await lapse_lease(database, held.id)
    await acquire(database)
    before = await read(database, held.id)
    error = ErrorRecord(code="x", message="x")
    async with database.connection() as db:
        assert not await lease_store.record_step(db, held, frozen, "late", reaches_host=True)
        assert not await lease_store.set_state(db, held, frozen, OperationState.UNDOING, error)
        assert not await lease_store.wait(db, held, frozen, OperationState.WAITING, 1.0, error)
        assert not await lease_store.finish(db, held, frozen, OperationState.SUCCEEDED, result={}, undone=())
        assert await lease_store.renew(db, frozen, [held.id]) == set()
    assert await read(database, held.id) == before


async def test_an_engine_reacquires_its_own_lapsed_operation_once(database: Database) -> None:
    """Its renewals failed for a while: it acquires the operation again and cancels the older attempt."""
    handler = ScriptedHandler(on_run=PausedStep())
    operation_id = await open_operation(database)
    async with running(database, handler) as engine:
        await eventually(lambda: handler.ran == [1])
        second = handler.on_run = PausedStep()
        await lapse_lease(database, operation_id)
        engine.wake()
        await second.started.wait()
        assert engine.running == 1
        second.proceed.set()
        done = await wait_until_ended(database, engine, operation_id)
    assert (done.state, done.attempt, handler.ran) == (OperationState.SUCCEEDED, 2, [1, 2])


async def test_renewal_cancels_only_attempts_whose_lease_was_lost(database: Database) -> None:
    first = PausedStep()
    handler = ScriptedHandler(on_run=first)
    operation_id = await open_operation(database)
    async with running(database, handler) as engine:
        await first.started.wait()
        await execute(database, TAKE_OVER, operation_id, uuid4())
        other = handler.on_run = PausedStep()
        other_id = await open_operation(database)
        engine.wake()
        await other.started.wait()
        assert engine.running == 2
        await engine.renew()
        await eventually(lambda: engine.running == 1)
        other.proceed.set()
        assert (await wait_until_ended(database, engine, other_id)).attempt == 1


async def test_renewal_leaves_an_attempt_that_has_committed_its_end(database: Database) -> None:
    committed, answered, learned = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def commit(operation: Operation, _: Journal) -> Outcome:
        await execute(database, END, operation.id)  # as the last transaction of the attempt, whose answer is on its way
        committed.set()
        await answered.wait()
        learned.set()
        return Outcome()

    await open_operation(database)
    async with running(database, ScriptedHandler(on_run=commit)) as engine:
        await committed.wait()
        await engine.renew()
        answered.set()
        await eventually(lambda: engine.running == 0)
    assert learned.is_set()


async def test_an_attempt_whose_operation_was_ended_is_cancelled(database: Database) -> None:
    """The removal of its host, or another operation, has ended it: the second renewal knows that it did not itself."""
    paused = PausedStep()
    operation_id = await open_operation(database)
    async with running(database, ScriptedHandler(on_run=paused)) as engine:
        await paused.started.wait()
        await execute(database, END, operation_id)
        await engine.renew()
        assert engine.running == 1
        await engine.renew()
        await eventually(lambda: engine.running == 0)
