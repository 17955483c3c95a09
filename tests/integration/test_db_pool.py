"""The pool against a real server: transactions, JSON, and what its failures look like to everybody else."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncpg
import pytest

from common.errors import BadSettings, Busy, DatabaseUnavailable, InvalidRequest
from development import postgres
from regiond.db import pool as pool_module
from regiond.db.pool import Database, Db, connect
from tests.database import named
from tests.waiting import eventually


@pytest.fixture
def own_server(server_folder: Path) -> Path:
    """The folder of a running server that the test may stop."""
    postgres.start(server_folder, settings=postgres.FAST)
    return server_folder


async def test_what_a_transaction_wrote_is_there_after_it(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute("insert into zone (name) values ('north')")
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from zone where name = 'north'") == 1


async def test_an_exception_in_a_transaction_undoes_it(database: Database) -> None:
    async def work() -> None:
        async with database.transaction() as db:
            await db.execute("insert into zone (name) values ('north')")
            raise KeyError("changed my mind")

    with pytest.raises(KeyError):
        await work()
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from zone where name = 'north'") == 0


async def test_a_cancelled_task_undoes_its_transaction_and_leaves_the_pool_usable(database: Database) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as db:
            await db.execute("insert into zone (name) values ('north')")
            inside.set()
            await db.execute("select pg_sleep(60)")

    task = asyncio.ensure_future(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with database.connection() as db:
        assert await db.fetchval("select count(*) from zone where name = 'north'") == 0


async def test_json_columns_are_plain_values_in_both_directions(database: Database) -> None:
    value = {"cores": [0, 1], "name": "Jäger", "none": None, "ratio": 1.5}
    async with database.connection() as db:
        assert await db.fetchval("select $1::jsonb", value) == value
        assert await db.fetchval("select $1::json", [value]) == [value]


async def test_a_value_that_no_column_can_hold_is_the_requests_fault(database: Database) -> None:
    for statement, value in (
        ("select $1::text", "a\0b"),
        ("select $1::jsonb", {"a": "\0"}),
        ("select $1::integer", 2**40),
        ("select $1::bigint", 2**80),
    ):
        with pytest.raises(InvalidRequest):
            async with database.connection() as db:
                await db.fetchval(statement, value)


async def test_an_error_of_a_statement_goes_up_as_it_is(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.connection() as db:
            await db.execute("select * from nowhere")


async def test_a_connection_ended_by_the_server_is_unavailable_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as told:
        async with database.connection() as db:
            await db.execute("select pg_terminate_backend(pg_backend_pid())")
    assert told.value.retryable
    await database.ping()


async def test_a_connection_lost_between_two_statements_of_a_transaction_is_unavailable(database: Database) -> None:
    async def lose_it() -> None:
        async with database.transaction() as db:
            backend = await db.fetchval("select pg_backend_pid()")
            async with database.connection() as other:
                await other.execute("select pg_terminate_backend($1)", backend)
            await eventually(lambda: back_in_the_pool(db))
            await db.execute("select 1")

    with pytest.raises(DatabaseUnavailable):
        await lose_it()
    await database.ping()


def back_in_the_pool(db: Db) -> bool:
    try:
        db.is_closed()
    except asyncpg.InterfaceError:
        return True
    return False


async def test_a_statement_over_its_time_is_unavailable(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        async with database.connection() as db:
            await db.execute("set statement_timeout = '20ms'; select pg_sleep(60)")


async def test_a_pool_with_nothing_free_is_unavailable_in_time_and_says_why(database_url: str) -> None:
    database = await Database.open(database_url, min_size=1, max_size=1, acquire_deadline_s=0.05)
    async with database.connection():
        with pytest.raises(DatabaseUnavailable, match="1 of 1 are in use"):
            await database.ping()
    await database.ping()
    await database.close()


async def test_losing_a_deadlock_is_tried_again(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute("insert into zone (name) values ('a'), ('b')")
    both = asyncio.Barrier(2)
    runs = 0

    async def change(first: str, second: str) -> None:
        async def work(db: pool_module.Db) -> None:
            nonlocal runs
            runs += 1
            await db.execute("update zone set description = description || 'x' where name = $1", first)
            if runs <= 2:
                await both.wait()
            await db.execute("update zone set description = description || 'x' where name = $1", second)

        await database.in_transaction(work)

    await asyncio.gather(change("a", "b"), change("b", "a"))
    async with database.connection() as db:
        assert await db.fetchval("select array_agg(distinct description) from zone where name in ('a', 'b')") == ["xx"]
    assert runs > 2


async def test_who_loses_again_and_again_is_told_to_ask_again(database: Database) -> None:
    async def work(db: pool_module.Db) -> None:
        raise asyncpg.DeadlockDetectedError("deadlock detected")

    with pytest.raises(Busy, match="2 times in a row"):
        await database.in_transaction(work, tries=2)


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        await Database.open(f"postgresql://innkeeper@/innkeeper?host={tmp_path}")


async def test_a_login_that_is_refused_or_a_dsn_that_is_none_is_a_setting(postgres_server: str) -> None:
    with pytest.raises(BadSettings, match="no_such_database"):
        await Database.open(named(postgres_server, "no_such_database"))
    for bad in ("https://example.com/", "postgresql://user@host:port/x"):
        with pytest.raises(BadSettings):
            await Database.open(bad)


async def test_no_message_repeats_the_password(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable) as told:
        await Database.open(f"postgresql://innkeeper:hunter2@/innkeeper?host={tmp_path}&password=hunter2")
    assert "hunter2" not in told.value.message


async def test_a_postgresql_that_is_too_old_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "OLDEST_POSTGRESQL", 99)
    with pytest.raises(BadSettings, match="too old: 99 or newer"):
        await Database.open(database_url)


async def test_closing_ends_in_time_while_a_connection_is_held(database_url: str) -> None:
    database = await Database.open(database_url, min_size=1)
    with pytest.raises(DatabaseUnavailable):
        async with database.connection() as db:
            await asyncio.gather(db.execute("select pg_sleep(60)"), database.close(timeout_s=0.1))
    await database.close()


async def test_the_same_pool_works_again_when_the_server_was_killed_and_is_back(own_server: Path) -> None:
    dsn = await asyncio.to_thread(postgres.start, own_server, settings=postgres.FAST)
    database = await Database.open(dsn)
    await asyncio.to_thread(postgres.stop, own_server)
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    await asyncio.to_thread(postgres.start, own_server, settings=postgres.FAST)

    await database.ping()
    await database.close()


async def test_the_embedded_server_is_adopted_restarted_after_a_kill_and_stopped(own_server: Path) -> None:
    first = postgres.running_pid(own_server)
    assert first is not None
    dsn = await asyncio.to_thread(postgres.start, own_server)
    assert postgres.running_pid(own_server) == first
    await _write(dsn)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: postgres.running_pid(own_server) is None)
    assert await asyncio.to_thread(postgres.start, own_server, settings=postgres.FAST) == dsn
    assert postgres.running_pid(own_server) not in (None, first)
    await _check_written(dsn)
    await asyncio.to_thread(postgres.stop, own_server)
    assert not postgres.is_running(own_server)
    await asyncio.to_thread(postgres.stop, own_server)


async def test_an_embedded_server_leaves_huge_pages_to_the_guests(own_server: Path) -> None:
    database = await Database.open(await asyncio.to_thread(postgres.start, own_server))
    async with database.connection() as db:
        assert await db.fetchval("show huge_pages") == "off"
    await database.close()


async def test_stopping_one_embedded_server_leaves_another_alone(own_server: Path) -> None:
    other = own_server.parent / "other"
    await asyncio.to_thread(postgres.start, other, settings=postgres.FAST)
    await asyncio.to_thread(postgres.stop, other)
    assert postgres.is_running(own_server)


async def test_a_guarded_server_ends_with_its_owner(server_folder: Path) -> None:
    folder = server_folder
    await asyncio.to_thread(postgres.start, folder, settings=postgres.FAST)
    guardian = await asyncio.create_subprocess_exec(
        sys.executable, postgres.__file__, "guard", str(folder), stdin=asyncio.subprocess.PIPE
    )
    assert guardian.stdin is not None
    guardian.stdin.close()
    assert await guardian.wait() == 0
    assert not folder.exists()


def test_a_pid_file_that_names_another_process_is_not_believed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "postmaster.pid").write_text("1\n")
    assert postgres.running_pid(tmp_path) is None
    postgres.stop(tmp_path)


async def _write(dsn: str) -> None:
    connection = await connect(dsn, application_name="test")
    await connection.execute("create table kept as select 7 as number")
    await connection.execute("checkpoint")
    await connection.close()


async def _check_written(dsn: str) -> None:
    connection = await connect(dsn, application_name="test")
    assert await connection.fetchval("select number from kept") == 7
    await connection.close()
