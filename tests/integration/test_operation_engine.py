"""The engine on a real database: what it does with steps that fail, stall, and lose their lease."""

from __future__ import annotations

import asyncio
import json
from uuid import uuid4

import pytest
import structlog

from common.errors import Cancelled, DriverFailed, HostUnreachable, OperationPending, WrongState
from regiond.accounts.model import Caller
from regiond.db.pool import Database, Db
from regiond.operations import lease_store, store
from regiond.operations.attempt import Attempt
from regiond.operations.model import Operation, OperationKind, OperationState, retry_delay_s
from regiond.operations.service import Operations
from regiond.operations.work import Journal, LeaseLost, Outcome
from tests.integration.ledger_ground import prepare
from tests.integration.works import Paused, Scripted, ended, lapse, opened, read, read_log, running
from tests.waiting import eventually

ADMIN = Caller(account_id=1, username="admin", is_admin=True)


def failing(*errors: Exception) -> Scripted:
    """Fails with each error in turn, then succeeds."""
    left = list(errors)

    async def run(_: Operation, journal: Journal) -> Outcome:
        await journal.step("try")
        if left:
            raise left.pop(0)
        return Outcome(result={"done": True})

    return Scripted(on_run=run)


async def test_an_operation_that_succeeds_keeps_its_result_and_its_log(database: Database) -> None:
    work = failing()
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database))
    assert (done.state, done.result, done.attempt, done.error_code) == (
        OperationState.SUCCEEDED,
        {"done": True},
        1,
        None,
    )
    assert [(line.step, line.message) for line in await read_log(database, done.id)] == [
        ("try", "started"),
        (None, "succeeded"),
    ]


async def test_each_of_many_operations_runs_once_whichever_of_two_engines_takes_it(database: Database) -> None:
    work = Scripted()
    ids = [await opened(database) for _ in range(100)]
    async with running(database, work), running(database, work):

        async def all_done() -> bool:
            async with database.connection() as db:
                return bool(await db.fetchval("select count(*) = 100 from operation where state = 'succeeded'"))

        await eventually(all_done)
    assert work.ran == [1] * 100
    assert {(await read(database, one)).attempt for one in ids} == {1}


# Failing


async def test_a_refusal_is_undone_and_told_and_not_tried_again(database: Database) -> None:
    work = failing(DriverFailed("no such machine type", asked="q35"))
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database, max_failures=5))
    assert (done.state, done.error_code, done.error_message) == (
        OperationState.FAILED, "driver_failed", "no such machine type",
    )  # fmt: skip
    assert done.error_details == {"asked": "q35"}
    assert (work.ran, work.undone) == ([1], [1])


async def test_a_retryable_error_waits_and_is_tried_again_with_a_new_attempt(database: Database) -> None:
    work = failing(HostUnreachable("gone"), HostUnreachable("gone"))
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database, max_failures=5))
    assert (done.state, done.failures, done.attempt, done.error_code) == (OperationState.SUCCEEDED, 2, 3, None)
    assert (work.ran, work.undone) == ([1, 2, 3], [])


async def test_while_it_waits_it_says_why_and_until_when(database: Database) -> None:
    async with running(database, failing(*(HostUnreachable("gone") for _ in range(9)))):
        operation_id = await opened(database, max_failures=9)

        async def waits() -> Operation | None:
            found = await read(database, operation_id)
            return found if found.state is OperationState.WAITING else None

        waiting: Operation = await eventually(waits)
        async with database.connection() as db:
            now = await db.fetchval("select clock_timestamp()")
    assert (waiting.error_code, waiting.error_message) == ("host_unreachable", "gone")
    assert waiting.not_before is not None
    assert waiting.started_at is not None
    assert (waiting.not_before - waiting.started_at).total_seconds() > 0.3
    assert (waiting.not_before - now).total_seconds() <= retry_delay_s(waiting.failures, 1.0)


async def test_an_operation_out_of_tries_fails_with_the_last_error(database: Database) -> None:
    work = failing(*(HostUnreachable(f"gone {number}") for number in range(9)))
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database, max_failures=3))
    assert (done.state, done.error_message) == (OperationState.FAILED, "gone 2")
    assert (work.ran, work.undone) == ([1, 2, 3], [3])


async def test_a_call_that_a_stopping_rack_cancelled_is_tried_again(database: Database) -> None:
    work = failing(Cancelled("compose: the rack is stopping"))
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database, max_failures=3))
    assert (done.state, work.undone) == (OperationState.SUCCEEDED, [])


async def test_a_call_that_is_cancelled_again_and_again_fails_and_is_nobodys_cancel(database: Database) -> None:
    work = failing(*(Cancelled("the rack is stopping") for _ in range(9)))
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database, max_failures=2))
    assert (done.state, done.error_code) == (OperationState.FAILED, "cancelled")


async def test_a_bug_fails_the_operation_with_a_reference_and_without_its_words(database: Database) -> None:
    work = failing(RuntimeError("the password is hunter2"))
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database, max_failures=5))
    assert (done.state, done.error_code, work.undone) == (OperationState.FAILED, "internal", [1])
    assert done.error_details is not None
    assert done.error_details["reference"] in (done.error_message or "")
    async with database.connection() as db:
        rows = await db.fetchval("select json_agg(o)::text from operation o")
        lines = await db.fetchval("select json_agg(l)::text from operation_log l")
    assert "hunter2" not in rows + lines
    assert "Traceback" not in rows + lines


async def test_whatever_bytes_an_error_quotes_the_operation_ends(database: Database) -> None:
    work = failing(DriverFailed("it said a\0b \ud800", output={"a\0": ["\0"]}))
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database))
    assert (done.state, done.error_message, done.error_details) == (
        OperationState.FAILED, "it said ab ?", {"output": {"a": [""]}},
    )  # fmt: skip
    json.dumps(done.error_details)


async def test_a_result_that_cannot_be_stored_is_undone(database: Database) -> None:
    async def run(_: Operation, __: Journal) -> Outcome:
        return Outcome(result={"name": "a\0b"})

    work = Scripted(on_run=run)
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database))
    assert (done.state, work.undone) == (OperationState.FAILED, [1])


async def test_what_cannot_be_recorded_is_undone_and_nothing_of_it_stays(database: Database) -> None:
    async def record(db: Db) -> None:
        await db.execute("insert into zone (name) values ('half')")
        raise DriverFailed("the record does not fit")

    async def run(_: Operation, __: Journal) -> Outcome:
        return Outcome(record=record)

    async with running(database, Scripted(on_run=run)) as engine:
        done = await ended(database, engine, await opened(database))
    assert (done.state, done.error_message) == (OperationState.FAILED, "the record does not fit")
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from zone where name = 'half'") == 0


async def test_an_undo_that_fails_first_is_tried_until_it_succeeds_and_the_first_error_stays(
    database: Database,
) -> None:
    left = [HostUnreachable("gone"), RuntimeError("a bug"), DriverFailed("busy")]

    async def undo(_: Operation, __: Journal) -> Outcome:
        if left:
            raise left.pop(0)
        return Outcome(undone=("everything",))

    work = failing(DriverFailed("refused"))
    work.on_undo = undo
    async with running(database, work) as engine:
        done = await ended(database, engine, await opened(database))
    assert (done.state, done.error_message, done.undone) == (OperationState.FAILED, "refused", ("everything",))
    assert (work.ran, work.undone) == ([1], [1, 2, 3, 4])
    said = [line.details["error"] for line in await read_log(database, done.id) if "error" in line.details]
    assert (said[0], said[2]) == ("gone", "busy")


async def test_a_rack_that_comes_back_wakes_what_is_being_undone(database: Database) -> None:
    async def undo(_: Operation, __: Journal) -> Outcome:
        raise HostUnreachable("gone")

    work = failing(DriverFailed("refused"))
    work.on_undo = undo
    async with running(database, work) as engine:
        operation_id = await opened(database)
        await eventually(lambda: work.undone and engine.running == 0)
        async with database.connection() as db:
            await db.execute("update operation set not_before = now() + interval '1 hour'")
            await store.wake_waiting(db)
        engine.wake()
        await eventually(lambda: len(work.undone) > 1)
        assert (await read(database, operation_id)).state is OperationState.UNDOING


async def test_a_host_that_is_back_wakes_its_own_operations_and_no_others(database: Database) -> None:
    ground = await prepare(database)
    ids = []
    for host_id in ground.hosts:
        async with database.transaction() as db:
            ids.append(
                await store.insert(
                    db, OperationKind.CLEAN_UP, host_id=host_id, host_name="h", request={}, max_failures=9
                )
            )
    async with database.connection() as db:
        await db.execute(
            "update operation set state = 'waiting', error_code = 'host_unreachable', "
            "not_before = now() + interval '1 hour'"
        )
        await store.wake_waiting(db, ground.hosts[1])
        assert [one.id for one in await lease_store.take(db, uuid4(), limit=9, full_hosts=())] == [ids[1]]
        await store.wake_waiting(db)
        assert [one.id for one in await lease_store.take(db, uuid4(), limit=9, full_hosts=())] == [ids[0]]


# Leases


async def test_an_engine_that_stops_hands_its_operation_to_the_next_one(database: Database) -> None:
    paused = Paused()
    operation_id = await opened(database)
    async with running(database, Scripted(on_run=paused)):
        await paused.begun.wait()
    async with running(database, failing()) as other:
        other.wake()
        done = await ended(database, other, operation_id)
    assert (done.state, done.attempt, done.result) == (OperationState.SUCCEEDED, 2, {"done": True})


async def test_a_held_operation_is_not_taken_before_its_lease_lapses(database: Database) -> None:
    operation_id = await opened(database)
    async with database.connection() as db:
        (held,) = await lease_store.take(db, uuid4(), limit=10, full_hosts=())
        assert held.id == operation_id
        assert await lease_store.take(db, uuid4(), limit=10, full_hosts=()) == []
        await lapse(database, operation_id)
        (again,) = await lease_store.take(db, uuid4(), limit=10, full_hosts=())
        assert again.attempt == held.attempt + 1


async def test_whoever_lost_its_lease_writes_nothing_more(database: Database) -> None:
    """A region that was frozen in the middle of a step wakes up when another one has gone on."""
    paused = Paused()
    operation_id = await opened(database)
    frozen = uuid4()
    async with database.connection() as db:
        (held,) = await lease_store.take(db, frozen, limit=1, full_hosts=())
    late = asyncio.create_task(Attempt(database, frozen, Scripted(on_run=paused), held).go())
    await paused.begun.wait()
    await lapse(database, operation_id)
    async with running(database, failing()) as engine:
        done = await ended(database, engine, operation_id)
        paused.go_on.set()
        with pytest.raises(LeaseLost):
            await late
    after = await read(database, operation_id)
    assert (after, after.result, after.attempt) == (done, {"done": True}, 2)


async def test_each_kind_of_late_write_is_refused(database: Database) -> None:
    await opened(database)
    frozen = uuid4()
    async with database.connection() as db:
        (held,) = await lease_store.take(db, frozen, limit=1, full_hosts=())
        await lapse(database, held.id)
        await lease_store.take(db, uuid4(), limit=1, full_hosts=())
        before = await read(database, held.id)
        assert not await lease_store.step(db, held, frozen, "late", reaches_host=True)
        assert not await lease_store.turn(db, held, frozen, OperationState.UNDOING, ("x", "x", {}))
        assert not await lease_store.wait(db, held, frozen, OperationState.WAITING, 1.0, ("x", "x", {}))
        assert not await lease_store.end(db, held, frozen, OperationState.SUCCEEDED, result={}, undone=())
        assert await lease_store.renew(db, frozen, [held.id]) == set()
    assert await read(database, held.id) == before


async def test_an_engine_whose_own_lease_lapsed_goes_on_with_one_attempt(database: Database) -> None:
    """Its renewals did not get through for a while: it takes the operation anew and stops the older attempt."""
    work = Scripted(on_run=Paused())
    operation_id = await opened(database)
    async with running(database, work) as engine:
        await eventually(lambda: work.ran == [1])
        again = work.on_run = Paused()
        await lapse(database, operation_id)
        engine.wake()
        await again.begun.wait()
        assert engine.running == 1
        again.go_on.set()
        done = await ended(database, engine, operation_id)
    assert (done.state, done.attempt, work.ran) == (OperationState.SUCCEEDED, 2, [1, 2])


async def test_renewing_stops_what_was_lost_and_nothing_else(database: Database) -> None:
    first = Paused()
    work = Scripted(on_run=first)
    operation_id = await opened(database)
    async with running(database, work) as engine:
        await first.begun.wait()
        async with database.connection() as db:  # another process took it over a moment ago
            await db.execute(
                "update operation set lease_owner = $2, lease_until = now() + interval '1 hour' where id = $1",
                operation_id,
                uuid4(),
            )
        other = work.on_run = Paused()
        kept = await opened(database)
        engine.wake()
        await other.begun.wait()
        assert engine.running == 2
        await engine.renew()
        await eventually(lambda: engine.running == 1)
        other.go_on.set()
        assert (await ended(database, engine, kept)).attempt == 1


async def test_an_engine_outlives_an_error_while_taking(database: Database) -> None:
    async with database.connection() as db:
        await db.execute("alter table operation rename to operation_away")
        async with running(database, failing()) as engine:
            with structlog.testing.capture_logs() as logs:
                await eventually(lambda: [one for one in logs if one["event"] == "taking_operations_hit_a_bug"])
            await db.execute("alter table operation_away rename to operation")
            assert (await ended(database, engine, await opened(database))).state is OperationState.SUCCEEDED


# Cancelling and waiting


async def test_a_queued_operation_that_is_cancelled_never_runs(database: Database) -> None:
    operations, work = Operations(database), Scripted()
    operation_id = await opened(database)
    await operations.cancel(ADMIN, operation_id)
    async with running(database, work) as engine:
        done = await ended(database, engine, operation_id)
    assert (done.state, done.error_code, work.ran, work.undone) == (OperationState.CANCELLED, "cancelled", [], [1])


async def test_a_running_operation_that_is_cancelled_is_stopped_and_undone(database: Database) -> None:
    operations, paused = Operations(database), Paused()
    work = Scripted(on_run=paused)
    operation_id = await opened(database)
    async with running(database, work) as engine:
        await paused.begun.wait()
        await operations.cancel(ADMIN, operation_id)
        engine.cancel_asked(operation_id)
        done = await ended(database, engine, operation_id)
    assert (done.state, work.ran, work.undone) == (OperationState.CANCELLED, [1], [2])


async def test_what_is_being_undone_or_has_ended_cannot_be_cancelled(database: Database) -> None:
    operations = Operations(database)
    async with running(database, failing()) as engine:
        done = await ended(database, engine, await opened(database))
    with pytest.raises(WrongState, match="is succeeded and cannot be cancelled"):
        await operations.cancel(ADMIN, done.id)
    assert [line.message for line in await read_log(database, done.id)] == ["started", "succeeded"]


async def test_who_waits_too_long_hears_the_operations_number_and_it_goes_on(database: Database) -> None:
    operations = Operations(database)
    operation_id = await opened(database)
    with pytest.raises(OperationPending, match=f"operations/{operation_id}/") as pending:
        await operations.wait(operation_id, timeout_s=0.05)
    assert pending.value.details == {"operation": operation_id}
    waiting = asyncio.create_task(operations.wait(operation_id, timeout_s=20))
    async with running(database, failing()) as engine:
        done = await ended(database, engine, operation_id)
        operations.told(operation_id, done.state.value)
        assert await waiting == done
