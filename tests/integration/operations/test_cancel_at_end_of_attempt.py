"""A cancellation that commits just before the attempt suspends the operation, or has it wait, is not delayed."""

from __future__ import annotations

from uuid import uuid4

import pytest

from common.errors import Busy, HostUnreachable, InnkeeperError
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Database
from regiond.operations import intent_store, store
from regiond.operations.attempt import Attempt
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import Operation, OperationState, Parent
from tests.integration.support.rigs.scripted_operations import ScriptedHandler, acquire, open_operation, read, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

HOUR_S = 3600.0
SUSPENDED, UNREACHABLE = Outcome(resumes_within_s=HOUR_S), HostUnreachable("the host is down")


def ended(ending: Outcome | InnkeeperError) -> Outcome:
    if isinstance(ending, InnkeeperError):
        raise ending
    return ending


def cancelled_before(
    database: Database, ending: Outcome | InnkeeperError, cancelled_id: int | None = None
) -> ScriptedHandler:
    """A handler whose first attempt ends just after its operation, or that one, was cancelled."""

    async def cancel_and_end(operation: Operation, _: Journal) -> Outcome:
        async with database.transaction() as db:
            assert await store.request_cancel(db, cancelled_id or operation.id)
        return ended(ending)

    return ScriptedHandler(on_run=cancel_and_end)


async def run(database: Database, handler: ScriptedHandler) -> int:
    """Runs one attempt at the operation that is due; returns its id."""
    owner = uuid4()
    (operation,) = await acquire(database, owner)
    await Attempt(database, owner, handler, operation).run()
    return operation.id


ENDINGS = pytest.mark.parametrize("ending", [SUSPENDED, UNREACHABLE], ids=["suspended", "waiting"])


@ENDINGS
async def test_undoing_is_due_at_once(database: Database, ending: Outcome | InnkeeperError) -> None:
    await open_operation(database, max_failures=9)
    operation_id = await run(database, cancelled_before(database, ending))
    assert [one.id for one in await acquire(database)] == [operation_id]


@ENDINGS
async def test_the_engine_undoes_it_without_a_notification(
    database: Database, ending: Outcome | InnkeeperError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regiond.operations.attempt.retry_delay_s", lambda *_: 3600.0)
    operation_id = await open_operation(database, max_failures=9)
    handler = cancelled_before(database, ending)
    async with running(database, handler):

        async def is_cancelled() -> bool:
            return (await read(database, operation_id)).state is OperationState.CANCELLED

        await eventually(is_cancelled)
    assert (handler.ran, handler.undone) == ([1], [2])


@ENDINGS
async def test_undoing_that_waits_is_not_due_at_once(database: Database, ending: Outcome | InnkeeperError) -> None:
    """It would run without a pause: it is cancelled all the time."""
    operation_id = await open_operation(database, max_failures=9)
    async with database.transaction() as db:
        assert await store.request_cancel(db, operation_id)
    waiting = Busy("another operation acts") if isinstance(ending, InnkeeperError) else ending

    async def wait(_: Operation, __: Journal) -> Outcome:
        return ended(waiting)

    await run(database, ScriptedHandler(on_undo=wait))
    assert (await read(database, operation_id)).state is OperationState.UNDOING
    assert await acquire(database) == []


async def test_a_child_whose_parent_was_cancelled_is_due_at_once(database: Database) -> None:
    parent_id = await open_operation(database)
    (parent,) = await acquire(database)
    async with database.transaction() as db:
        child_id = await intent_store.insert(
            db, OperationKind.CLEAN_UP, host_id=None, host_name=None, request={}, max_failures=9,
            parent=Parent(id=parent.id, attempt=parent.attempt),
        )  # fmt: skip
    assert await run(database, cancelled_before(database, UNREACHABLE, parent_id)) == child_id
    assert [one.id for one in await acquire(database)] == [child_id]
