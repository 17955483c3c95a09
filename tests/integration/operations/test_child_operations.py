"""Operations that another operation opened: cancelled with it, and never opened after it is being undone."""

from __future__ import annotations

import asyncio

import pytest
from asyncpg.connection import LoggedQuery

from common.errors import Busy, HostUnreachable
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database
from regiond.operations import intent_store
from regiond.operations.handler import Journal, Outcome
from regiond.operations.intent_store import current_origin
from regiond.operations.model import NewOperation, Operation, OperationState, Parent
from regiond.operations.service import Operations
from regiond.requests.caller import Caller
from tests.integration.support.ledger_fixture import prepare
from tests.integration.support.rigs.scripted_operations import (
    PausedStep,
    ScriptedHandler,
    acquire,
    in_turn,
    open_operation,
    read,
    run_to_end,
    running,
    wait_until_ended,
)
from tests.integration.support.tables import lock_waiters
from tests.postgresql.database import execute
from tests.support.waiting import eventually

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
LATER = "update operation set not_before = now() + interval '1 hour' where id = $1"


async def open_child(database: Database, parent_id: int) -> int:
    parent = Parent(id=parent_id, attempt=(await read(database, parent_id)).attempt)
    async with database.transaction() as db:
        return await intent_store.insert(
            db, OperationKind.CLEAN_UP, host_id=None, host_name="sim", request={}, parent=parent, max_failures=9
        )


async def test_cancelling_an_operation_cancels_children_that_wait(database: Database) -> None:
    parent = await open_operation(database)
    queued, waiting, other = [
        await open_child(database, one) for one in (parent, parent, await open_operation(database))
    ]
    await execute(
        database, "update operation set state = 'waiting', not_before = now() + '1 hour' where id = $1", waiting
    )
    await Operations(database).cancel(ADMIN, parent)
    assert [(await read(database, one)).cancel_requested for one in (queued, waiting, other)] == [True, True, False]
    handler = ScriptedHandler()
    assert (await run_to_end(database, handler, waiting)).state is OperationState.CANCELLED
    assert (await run_to_end(database, handler, queued)).state is OperationState.CANCELLED


async def test_a_child_that_runs_ends_although_its_parent_is_cancelled(database: Database) -> None:
    paused = PausedStep()
    parent = await open_operation(database)
    await execute(database, LATER, parent)
    child = await open_child(database, parent)
    async with running(database, ScriptedHandler(on_run=paused)) as engine:
        await paused.started.wait()
        await Operations(database).cancel(ADMIN, parent)
        assert not (await read(database, child)).cancel_requested
        paused.proceed.set()
        assert (await wait_until_ended(database, engine, child)).state is OperationState.SUCCEEDED


async def test_a_child_of_a_cancelled_parent_is_not_retried(database: Database) -> None:
    parent = await open_operation(database)
    await execute(database, LATER, parent)
    child = await open_child(database, parent)

    async def fail(operation: Operation, _: Journal) -> Outcome:
        if operation.id == child:
            await Operations(database).cancel(ADMIN, parent)
            raise HostUnreachable("no route")
        return Outcome()

    handler = ScriptedHandler(on_run=fail)
    done = await run_to_end(database, handler, child)
    assert (done.state, done.error_code, handler.ran) == (OperationState.CANCELLED, "cancelled", [1])


@pytest.mark.parametrize("change", ["state = 'undoing'", "cancel_requested = true"])
async def test_a_child_whose_parent_is_undone_is_cancelled_and_not_retried(database: Database, change: str) -> None:
    parent = await open_operation(database)
    await execute(database, LATER, parent)
    child = await open_child(database, parent)
    await execute(database, f"update operation set {change} where id = $1", parent)  # noqa: S608  # constants above
    handler = ScriptedHandler(on_run=in_turn(HostUnreachable("no route"), Outcome()))
    done = await run_to_end(database, handler, child)
    assert (done.state, handler.ran, handler.undone) == (OperationState.CANCELLED, [1], [2])


async def test_a_parent_is_cancelled_only_after_the_child_that_is_being_opened(database: Database) -> None:
    """Whoever cancels the parent finds the child."""
    parent = await open_operation(database)
    opener = Parent(id=parent, attempt=0)
    async with database.transaction() as db:
        child = await intent_store.insert(
            db, OperationKind.CLEAN_UP, host_id=None, host_name="sim", request={}, parent=opener, max_failures=9
        )
        cancelling = asyncio.create_task(Operations(database).cancel(ADMIN, parent))
        await eventually(lambda: lock_waiters(database))
    await cancelling
    assert (await read(database, child)).cancel_requested


@pytest.mark.parametrize(
    "change",
    ["cancel_requested = true", "state = 'undoing'", "state = 'failed'"],
    ids=["cancelled", "undoing", "failed"],
)
async def test_no_child_is_opened_once_its_parent_is_undone(database: Database, change: str) -> None:
    parent = await open_operation(database)
    await execute(database, f"update operation set {change} where id = $1", parent)  # noqa: S608  # constants above
    with pytest.raises(Busy, match=f"Operation {parent} has ended or is being undone"):
        await open_child(database, parent)


async def test_the_parent_of_many_children_is_locked_once(database: Database) -> None:
    ledger = await prepare(database)
    await open_operation(database)
    [held] = await acquire(database)
    parents = [None, *[Parent(id=held.id, attempt=held.attempt)] * 3]
    new = [
        NewOperation(
            host_id=ledger.hosts[0], host_name="a", machine_id=await ledger.must_claim(0, 1, 64), system_id="abc123",
            hostname="elm", account_id=1, username="admin", request={}, explanation={}, max_failures=1,
            origin=current_origin(), parent=parent,
        )
        for parent in parents
    ]  # fmt: skip
    queries: list[str] = []

    async def note(query: LoggedQuery) -> None:
        queries.append(query.query)

    async with database.transaction() as db:
        await db.execute("insert into account (id, username) overriding system value values (1, 'admin')")
        with db.query_logger(note):
            opened = await intent_store.insert_several(db, OperationKind.POWER, new)
    assert [one.parent_id for one in opened] == [None, held.id, held.id, held.id]
    await eventually(lambda: sum("insert into operation" in one for one in queries) == 1)
    assert sum("for share" in one for one in queries) == 1
