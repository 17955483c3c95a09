"""The operation engine on a real database: failures, cancellation, stalled attempts and lost leases."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import structlog

from common.errors import Busy, Cancelled, DriverFailed, HostUnreachable, InnkeeperError, OperationPending, WrongState
from regiond.db.pool import Database, Db
from regiond.operations import lease_store, wait_store
from regiond.operations.attempt import UNDO_BUSY_S
from regiond.operations.handler import Journal, Outcome
from regiond.operations.model import UNDO_WAITS_FOR, Operation, OperationState, retry_delay_s
from regiond.operations.service import Operations
from regiond.requests.caller import Caller
from tests.integration.support.ledger_fixture import prepare
from tests.integration.support.rigs.scripted_operations import (
    PausedStep,
    ScriptedHandler,
    acquire,
    failing,
    in_turn,
    open_operation,
    read,
    read_log,
    run_to_end,
    running,
    wait_until_ended,
)
from tests.integration.support.tables import lock_waiters
from tests.postgresql.database import execute, fetchval
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

ADMIN = Caller(account_id=1, username="admin", is_admin=True)
RETRYABLE = pytest.mark.parametrize(
    "kind",
    [HostUnreachable, Cancelled],  # a stopping rack cancels its calls
    ids=lambda kind: kind.code,
)


async def test_success_stores_result_and_log(database: Database) -> None:
    done = await run_to_end(database, failing())
    assert (done.state, done.result) == (OperationState.SUCCEEDED, {"done": True})
    assert (done.attempt, done.error_code) == (1, None)
    assert [(line.step, line.message) for line in await read_log(database, done.id)] == [
        ("try", "started"),
        (None, "succeeded"),
    ]


@pytest.mark.parametrize("error", [None, RuntimeError("a bug"), HostUnreachable("away")], ids=repr)
async def test_what_follows_the_end_is_after_the_commit_and_cannot_undo_it(
    database: Database, error: Exception | None
) -> None:
    seen: list[OperationState] = []
    operation_id = await open_operation(database)

    async def then() -> None:
        seen.append((await read(database, operation_id)).state)
        if error is not None:
            raise error

    handler = ScriptedHandler(on_run=in_turn(Outcome(then=then)))
    with structlog.testing.capture_logs() as logged:
        async with running(database, handler):
            await eventually(lambda: seen)
    assert (seen, handler.ran, handler.undone) == ([OperationState.SUCCEEDED], [1], [])
    assert (await read(database, operation_id)).state is OperationState.SUCCEEDED
    assert ["operation_follow_up_failed"] * (error is not None) == [
        line["event"] for line in logged if line["log_level"] == "warning"
    ]


async def test_two_engines_run_each_operation_once(database: Database) -> None:
    handler, all_succeeded = ScriptedHandler(), "select count(*) = 100 from operation where state = 'succeeded'"
    ids = [await open_operation(database) for _ in range(100)]
    async with running(database, handler), running(database, handler):
        await eventually(lambda: fetchval(database, all_succeeded))
    assert handler.ran == [1] * 100
    assert {(await read(database, one)).attempt for one in ids} == {1}


@pytest.mark.parametrize(
    ("error", "message", "details"),
    [
        (DriverFailed("no such machine type", requested="q35"), "no such machine type", {"requested": "q35"}),
        (DriverFailed("output a\0b \ud800", output={"a\0": ["\0"]}), "output ab ?", {"output": {"a": [""]}}),
    ],
    ids=["permanent", "with-unstorable-bytes"],
)
async def test_a_permanent_error_is_undone_and_not_retried(
    database: Database, error: InnkeeperError, message: str, details: dict[str, Any]
) -> None:
    handler = failing(error)
    done = await run_to_end(database, handler, max_failures=5)
    assert (done.state, done.error_code, done.error_message) == (OperationState.FAILED, "driver_failed", message)
    assert done.error_details == details
    assert (handler.ran, handler.undone) == ([1], [1])


@RETRYABLE
async def test_a_retryable_error_is_retried_with_a_new_attempt(database: Database, kind: type[InnkeeperError]) -> None:
    handler = failing(kind("no route"), kind("no route"))
    done = await run_to_end(database, handler, max_failures=5)
    assert (done.state, done.failures, done.attempt, done.error_code) == (OperationState.SUCCEEDED, 2, 3, None)
    assert (handler.ran, handler.undone) == ([1, 2, 3], [])


async def test_a_step_that_is_tried_again_began_the_first_time(database: Database) -> None:
    began: list[datetime] = []

    async def step(operation: Operation, journal: Journal) -> Outcome:
        if operation.attempt == 3:
            await journal.step("another")
        await journal.step("try")
        began.append(await journal.step_began_at())
        if operation.attempt < 4:
            raise HostUnreachable("no route")
        return Outcome()

    await run_to_end(database, ScriptedHandler(on_run=step), max_failures=5)
    first, second, third, fourth = began
    assert first == second < third == fourth


@pytest.mark.slow
async def test_a_waiting_operation_reports_reason_and_next_attempt(database: Database) -> None:
    async with running(database, failing(*(HostUnreachable("no route") for _ in range(9)))):
        operation_id = await open_operation(database, max_failures=9)

        async def waits() -> Operation | None:
            found = await read(database, operation_id)
            return found if found.state is OperationState.WAITING else None

        waiting: Operation = await eventually(waits)
        now = await fetchval(database, "select clock_timestamp()")
    assert (waiting.error_code, waiting.error_message) == ("host_unreachable", "no route")
    assert waiting.not_before is not None
    assert waiting.started_at is not None
    assert (waiting.not_before - waiting.started_at).total_seconds() > 0.3
    assert (waiting.not_before - now).total_seconds() <= retry_delay_s(waiting.failures, 1.0)


@RETRYABLE
async def test_exhausted_retries_fail_with_the_last_error(database: Database, kind: type[InnkeeperError]) -> None:
    handler = failing(*(kind(f"failure {number}") for number in range(9)))
    done = await run_to_end(database, handler, max_failures=3)
    assert (done.state, done.error_code, done.error_message) == (OperationState.FAILED, kind.code, "failure 2")
    assert (handler.ran, handler.undone) == ([1, 2, 3], [3])


async def test_a_bug_shows_a_reference_and_not_its_message(database: Database) -> None:
    handler = failing(RuntimeError("the password is hunter2"))
    done = await run_to_end(database, handler, max_failures=5)
    assert (done.state, done.error_code, handler.undone) == (OperationState.FAILED, "internal", [1])
    assert done.error_details is not None
    assert done.error_details["reference"] in (done.error_message or "")
    for table in ("operation", "operation_log"):
        stored = await fetchval(database, f"select json_agg(stored)::text from {table} stored")  # noqa: S608  constants
        assert "hunter2" not in stored
        assert "Traceback" not in stored


async def test_an_unstorable_result_is_undone(database: Database) -> None:
    handler = ScriptedHandler(on_run=in_turn(Outcome(result={"name": "a\0b"})))
    assert (await run_to_end(database, handler)).state is OperationState.FAILED
    assert handler.undone == [1]


async def test_a_failing_record_rolls_back_and_is_undone(database: Database) -> None:
    async def record(db: Db) -> None:
        await db.execute("insert into zone (name) values ('half')")
        raise DriverFailed("the record does not fit")

    done = await run_to_end(database, ScriptedHandler(on_run=in_turn(Outcome(record=record))))
    assert (done.state, done.error_message) == (OperationState.FAILED, "the record does not fit")
    assert await fetchval(database, "select count(*) from zone where name = 'half'") == 0


async def test_what_happens_before_a_suspension_ends_it_at_once(database: Database) -> None:
    async def has_happened(_: Db) -> bool:
        return True

    waits = Outcome(resumes_within_s=3600.0, resumes_at_once=has_happened)
    handler = ScriptedHandler(on_run=in_turn(waits, Outcome(result={"done": True})))
    operation_id = await open_operation(database)

    async def has_ended() -> bool:
        return (await read(database, operation_id)).state.ended

    async with running(database, handler):
        await eventually(has_ended)
    assert handler.ran == [1, 2]


async def test_a_wake_during_the_suspension_waits_for_it(database: Database) -> None:
    operation_id, owner = await open_operation(database), uuid4()
    (operation,) = await acquire(database, owner)

    async def wake() -> None:
        async with database.connection() as db:
            await lease_store.wake(db, operation_id)

    async with database.transaction() as db:
        assert await lease_store.suspend(db, operation, owner, 3600.0)
        waking = asyncio.create_task(wake())
        await eventually(lambda: lock_waiters(database))
    await waking
    assert await fetchval(database, "select not_before <= now() from operation where id = $1", operation_id)


async def test_undo_is_retried_until_success_and_keeps_the_first_error(database: Database) -> None:
    handler = failing(DriverFailed("rejected"))
    handler.on_undo = in_turn(
        HostUnreachable("no route"), RuntimeError("a bug"), DriverFailed("busy"), Outcome(undone=("everything",))
    )
    done = await run_to_end(database, handler)
    assert (done.state, done.error_message, done.undone) == (OperationState.FAILED, "rejected", ("everything",))
    assert (handler.ran, handler.undone) == ([1], [1, 2, 3, 4])
    errors = [line.details["error"] for line in await read_log(database, done.id) if "error" in line.details]
    assert (errors[0], errors[2]) == ("no route", "busy")


async def test_undoing_that_waits_for_another_operation_checks_soon_and_says_so(database: Database) -> None:
    """However often it has failed before. Once it has ended, its error says nothing of the waiting any more."""
    handler = failing(DriverFailed("rejected"))
    is_read = asyncio.Event()
    answers = in_turn(Busy("operation 9 acts on it"), Outcome())

    async def undo(operation: Operation, journal: Journal) -> Outcome:
        if handler.undone[1:]:
            await is_read.wait()
        return await answers(operation, journal)

    handler.on_undo = undo
    operation_id = await open_operation(database)
    await execute(database, "update operation set failures = 9 where id = $1", operation_id)

    async def waits() -> Operation | None:
        found = await read(database, operation_id)
        return found if UNDO_WAITS_FOR in (found.error_details or {}) else None

    async with running(database, handler) as engine:
        waiting = await eventually(waits)
        is_read.set()
        done = await wait_until_ended(database, engine, operation_id)
    assert (waiting.error_details or {})[UNDO_WAITS_FOR] == "operation 9 acts on it"
    assert waiting.not_before is not None
    assert (waiting.not_before - datetime.now(UTC)).total_seconds() <= UNDO_BUSY_S
    assert (done.state, done.error_message, done.error_details) == (OperationState.FAILED, "rejected", {})


async def test_an_operation_that_is_undone_cannot_be_cancelled(database: Database) -> None:
    operation_id = await open_operation(database)
    await execute(database, "update operation set state = 'undoing' where id = $1", operation_id)
    with pytest.raises(WrongState, match="is undoing and cannot be cancelled"):
        await Operations(database).cancel(ADMIN, operation_id)
    assert not (await read(database, operation_id)).cancel_requested


@pytest.mark.slow
async def test_a_reconnected_rack_wakes_operations_being_undone(database: Database) -> None:
    handler = failing(DriverFailed("rejected"))
    handler.on_undo = in_turn(HostUnreachable("no route"))
    async with running(database, handler) as engine:
        operation_id = await open_operation(database)
        await eventually(lambda: handler.undone and engine.running == 0)
        async with database.connection() as db:
            await db.execute("update operation set not_before = now() + interval '1 hour'")
            await wait_store.wake_waiting(db)
        engine.wake()
        await eventually(lambda: len(handler.undone) > 1)
        assert (await read(database, operation_id)).state is OperationState.UNDOING


async def test_a_reachable_host_wakes_only_its_own_operations(database: Database) -> None:
    ledger = await prepare(database)
    ids = [await open_operation(database, host_id=host_id, max_failures=9) for host_id in ledger.hosts]
    async with database.connection() as db:
        await db.execute(
            "update operation set state = 'waiting', error_code = 'host_unreachable', "
            "not_before = now() + interval '1 hour'"
        )
        await wait_store.wake_waiting(db, ledger.hosts[1])
        assert [one.id for one in await acquire(database)] == [ids[1]]
        await wait_store.wake_waiting(db)
        assert [one.id for one in await acquire(database)] == [ids[0]]


async def test_a_stopped_engine_releases_its_operation_to_the_next(database: Database) -> None:
    paused = PausedStep()
    operation_id = await open_operation(database)
    async with running(database, ScriptedHandler(on_run=paused)):
        await paused.started.wait()
    done = await run_to_end(database, failing(), operation_id)
    assert (done.state, done.attempt, done.result) == (OperationState.SUCCEEDED, 2, {"done": True})


@pytest.mark.needs_owner
async def test_the_engine_survives_an_error_while_acquiring(database: Database) -> None:
    async with database.connection() as db:
        await db.execute("alter table operation rename to operation_away")
        async with running(database, failing()) as engine:
            with structlog.testing.capture_logs() as logs:
                await eventually(lambda: [one for one in logs if one["event"] == "periodic_task_failed"])
            await db.execute("alter table operation_away rename to operation")
            done = await wait_until_ended(database, engine, await open_operation(database))
            assert done.state is OperationState.SUCCEEDED


async def test_a_cancelled_queued_operation_never_runs(database: Database) -> None:
    operations, handler = Operations(database), ScriptedHandler()
    operation_id = await open_operation(database)
    await operations.cancel(ADMIN, operation_id)
    done = await run_to_end(database, handler, operation_id)
    assert (done.state, done.error_code) == (OperationState.CANCELLED, "cancelled")
    assert (handler.ran, handler.undone) == ([], [1])


async def test_a_cancelled_running_operation_is_stopped_and_undone(database: Database) -> None:
    operations, paused = Operations(database), PausedStep()
    handler = ScriptedHandler(on_run=paused)
    operation_id = await open_operation(database)
    async with running(database, handler) as engine:
        await paused.started.wait()
        await operations.cancel(ADMIN, operation_id)
        engine.on_changed(operation_id, cancel_requested=True)
        done = await wait_until_ended(database, engine, operation_id)
    assert (done.state, handler.ran, handler.undone) == (OperationState.CANCELLED, [1], [2])


async def test_an_ended_operation_cannot_be_cancelled(database: Database) -> None:
    operations = Operations(database)
    done = await run_to_end(database, failing())
    with pytest.raises(WrongState, match="is succeeded and cannot be cancelled"):
        await operations.cancel(ADMIN, done.id)
    assert [line.message for line in await read_log(database, done.id)] == ["started", "succeeded"]


async def test_wait_timeout_names_the_operation_which_continues(database: Database) -> None:
    operations = Operations(database)
    operation_id = await open_operation(database)
    with pytest.raises(OperationPending, match=f"operations/{operation_id}/") as pending:
        await operations.wait(operation_id, timeout_s=0.05)
    assert pending.value.details == {"operation": operation_id}
    waiting = asyncio.create_task(operations.wait(operation_id, timeout_s=60))
    done = await run_to_end(database, failing(), operation_id)
    operations.on_state_changed(operation_id, done.state.value)
    assert await waiting == done
