"""The connection pool and the embedded PostgreSQL: transactions, JSON, translated errors, restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest

from common.errors import BadSettings, Busy, DatabaseUnavailable, InvalidRequest
from development import postgres
from regiond.db.pool import CONNECT_DEADLINE_S, STATEMENT_DEADLINE_S, Database, Db, connect
from regiond.events.service import Events
from tests.postgresql.database import execute, execute_as_superuser, fetchval, named
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

_INSERT_NORTH = "insert into zone (name) values ('north')"
_COUNT_NORTH = "select count(*) from zone where name = 'north'"


@pytest.fixture
def own_server(server_folder: Path) -> Path:
    """The folder of a running server that the test may stop."""
    postgres.start(server_folder, settings=postgres.FAST)
    return server_folder


async def test_a_transaction_commits(database: Database) -> None:
    async with database.transaction() as db:
        await db.execute(_INSERT_NORTH)
    assert await fetchval(database, _COUNT_NORTH) == 1


async def test_a_dry_run_is_rolled_back(database: Database) -> None:
    async def work(db: Db) -> str:
        return await db.execute(_INSERT_NORTH)

    assert await database.in_transaction(work, dry_run=True) == "INSERT 0 1"
    assert await fetchval(database, _COUNT_NORTH) == 0


async def test_an_exception_rolls_the_transaction_back(database: Database) -> None:
    async def work() -> None:
        async with database.transaction() as db:
            await db.execute(_INSERT_NORTH)
            raise KeyError("rollback")

    with pytest.raises(KeyError):
        await work()
    assert await fetchval(database, _COUNT_NORTH) == 0


async def test_a_cancelled_task_rolls_back_and_leaves_the_pool_usable(database: Database) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as db:
            await db.execute(_INSERT_NORTH)
            inside.set()
            await db.execute("select pg_sleep(60)")

    task = asyncio.ensure_future(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await fetchval(database, _COUNT_NORTH) == 0


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process reads and answers nothing during the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Whether the stopped process has been sent the signal."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool((int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)) >> (number - 1) & 1)


async def cancelled_before_the_server_reads(database: Database, running: ExitStack) -> tuple[asyncio.Task[None], int]:
    """A cancelled task whose statement is not read yet, and the server process, stopped until `running` is closed."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        async with database.transaction() as db:
            process = await db.fetchval("select pg_backend_pid()")
            await db.execute("create table half_done ()")
            running.enter_context(stopped(process))
            started.set_result(process)
            await db.execute("select pg_sleep(60)")

    task = asyncio.ensure_future(work())
    process = await started
    task.cancel()
    await eventually(lambda: has_pending(process, signal.SIGINT))
    return task, process


@pytest.mark.slow
async def test_a_cancellation_that_the_server_ignores_is_repeated(own_server: Path) -> None:
    database = await Database.open(postgres.start(own_server), min_size=1, max_size=1)
    with ExitStack() as running:
        task, process = await cancelled_before_the_server_reads(database, running)
    await asyncio.wait({task}, timeout=STATEMENT_DEADLINE_S / 2)
    assert task.cancelled()
    assert await fetchval(database, "select pg_backend_pid()") == process
    assert await fetchval(database, "select to_regclass('half_done')") is None
    await database.close()


@pytest.mark.slow
async def test_a_cancelled_task_ends_although_the_server_does_not_react(own_server: Path) -> None:
    database = await Database.open(postgres.start(own_server), min_size=1, max_size=1)
    with ExitStack() as running:
        task, process = await cancelled_before_the_server_reads(database, running)
        await asyncio.wait({task}, timeout=STATEMENT_DEADLINE_S / 2)
        assert task.cancelled()
        assert await fetchval(database, "select pg_backend_pid()") != process
    await database.close()


async def test_json_columns_are_plain_values_in_both_directions(database: Database) -> None:
    value = {"cores": [0, 1], "name": "Jäger", "none": None, "ratio": 1.5}
    assert await fetchval(database, "select $1::jsonb", value) == value
    assert await fetchval(database, "select $1::json", [value]) == [value]


async def test_what_another_wrote_as_json_is_readable(database: Database) -> None:
    """PostgreSQL stores numbers beyond a double, and in the type json half a pair of surrogates."""
    assert await fetchval(database, "select '[1e400]'::jsonb") == [10**400]
    assert await fetchval(database, r"""select '["\ud800"]'::json""") == ["\ud800"]


async def test_an_unstorable_value_is_an_invalid_request(database: Database) -> None:
    unstorable = (("text", "a\0b"), ("jsonb", {"a": "\0"}), ("integer", 2**40), ("bigint", 2**80))
    for type_name, value in unstorable:
        with pytest.raises(InvalidRequest):
            await fetchval(database, f"select $1::{type_name}", value)


async def test_other_statement_errors_are_not_translated(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await execute(database, "select * from nowhere")


async def test_a_terminated_connection_is_unavailable_and_is_replaced(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable) as unavailable:
        await execute(database, "select pg_terminate_backend(pg_backend_pid())")
    assert unavailable.value.retryable
    await database.ping()


async def test_a_connection_lost_between_statements_is_unavailable(database: Database) -> None:
    async def lose_connection() -> None:
        async with database.transaction() as db:
            backend = await db.fetchval("select pg_backend_pid()")
            await execute(database, "select pg_terminate_backend($1)", backend)
            await eventually(lambda: is_back_in_pool(db))
            await db.execute("select 1")

    with pytest.raises(DatabaseUnavailable):
        await lose_connection()
    await database.ping()


def is_back_in_pool(db: Db) -> bool:
    try:
        db.is_closed()
    except asyncpg.InterfaceError:
        return True
    return False


async def test_a_statement_timeout_is_unavailable(database: Database) -> None:
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        await execute(database, "set statement_timeout = '20ms'; select pg_sleep(60)")


async def test_an_exhausted_pool_is_unavailable_with_the_reason(database_url: str) -> None:
    database = await Database.open(database_url, min_size=1, max_size=1)
    async with database.connection():
        database.acquire_deadline_s = 0.05
        with pytest.raises(DatabaseUnavailable, match="1 of 1 are in use"):
            await database.ping()
    database.acquire_deadline_s = CONNECT_DEADLINE_S
    await database.ping()
    await database.close()


async def test_a_lost_deadlock_is_retried(database: Database) -> None:
    await execute(database, "insert into zone (name) values ('a'), ('b')")
    append = "update zone set description = description || 'x' where name = $1"
    both = asyncio.Barrier(2)
    runs = 0

    async def change(first: str, second: str) -> None:
        async def work(db: Db) -> None:
            nonlocal runs
            runs += 1
            await db.execute(append, first)
            if runs <= 2:
                await both.wait()
            await db.execute(append, second)

        await database.in_transaction(work)

    await asyncio.gather(change("a", "b"), change("b", "a"))
    descriptions = "select array_agg(distinct description) from zone where name in ('a', 'b')"
    assert await fetchval(database, descriptions) == ["xx"]
    assert runs > 2


async def test_repeated_conflicts_raise_busy(database: Database) -> None:
    async def work(db: Db) -> None:
        raise asyncpg.DeadlockDetectedError("deadlock detected")

    with pytest.raises(Busy, match="2 times in a row"):
        await database.in_transaction(work, tries=2)


async def test_a_missing_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="Cannot connect"):
        await Database.open(f"postgresql://innkeeper@/innkeeper?host={tmp_path}")


async def test_a_rejected_login_or_invalid_dsn_is_a_bad_setting(postgres_server: str) -> None:
    with pytest.raises(BadSettings, match="no_such_database"):
        await Database.open(named(postgres_server, "no_such_database"))
    for bad in ("https://example.com/", "postgresql://user@host:port/x"):
        with pytest.raises(BadSettings):
            await Database.open(bad)


async def test_no_message_contains_the_password(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable) as unavailable:
        await Database.open(f"postgresql://innkeeper:hunter2@/innkeeper?host={tmp_path}&password=hunter2")
    assert "hunter2" not in unavailable.value.message


async def test_an_old_postgresql_is_rejected(database_url: str) -> None:
    with pytest.raises(BadSettings, match="too old: Innkeeper requires 99 or newer"):
        await Database.open(database_url, min_postgresql=99)


@pytest.mark.slow
async def test_close_ends_in_time_while_a_connection_is_in_use(database_url: str) -> None:
    database = await Database.open(database_url, min_size=1)
    with pytest.raises(DatabaseUnavailable):
        async with database.connection() as db:
            await asyncio.gather(db.execute("select pg_sleep(60)"), database.close(timeout_s=0.1))
    await database.close()


@pytest.mark.slow
async def test_the_pool_works_again_after_a_server_restart(own_server: Path) -> None:
    dsn = await asyncio.to_thread(postgres.start, own_server, settings=postgres.FAST)
    database = await Database.open(dsn)
    await asyncio.to_thread(postgres.stop, own_server)
    with pytest.raises(DatabaseUnavailable):
        await database.ping()
    await asyncio.to_thread(postgres.start, own_server, settings=postgres.FAST)

    await database.ping()
    await database.close()


async def test_the_embedded_server_is_reused_restarted_and_stopped(own_server: Path) -> None:
    first = postgres.running_pid(own_server)
    assert first is not None
    dsn = await asyncio.to_thread(postgres.start, own_server)
    assert postgres.running_pid(own_server) == first
    await _write(dsn)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: postgres.running_pid(own_server) is None)
    assert await asyncio.to_thread(postgres.start, own_server, settings=postgres.FAST) == dsn
    assert postgres.running_pid(own_server) not in (None, first)
    await _read_back(dsn)
    await asyncio.to_thread(postgres.stop, own_server)
    assert not postgres.is_running(own_server)
    await asyncio.to_thread(postgres.stop, own_server)


async def test_an_embedded_server_uses_no_huge_pages(own_server: Path) -> None:
    database = await Database.open(await asyncio.to_thread(postgres.start, own_server))
    assert await fetchval(database, "show huge_pages") == "off"
    await database.close()


@pytest.mark.slow
async def test_stopping_an_embedded_server_does_not_stop_another(own_server: Path) -> None:
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


def test_a_pid_file_of_another_process_is_ignored(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "postmaster.pid").write_text("1\n")
    assert postgres.running_pid(tmp_path) is None
    postgres.stop(tmp_path)


async def _write(dsn: str) -> None:
    connection = await connect(dsn, application_name="test")
    await connection.execute("create table saved as select 7 as number")
    await connection.close()
    await execute_as_superuser(dsn, "checkpoint")


async def _read_back(dsn: str) -> None:
    connection = await connect(dsn, application_name="test")
    assert await connection.fetchval("select number from saved") == 7
    await connection.close()


async def test_rows_are_deleted_in_batches_until_one_is_not_full(database: Database) -> None:
    async with database.transaction() as db:
        for number in range(5):
            await Events.record(db, "old", str(number))
    left: list[int] = []

    async def delete(db: Db, limit: int) -> int:
        left.append(await db.fetchval("select count(*) from event"))
        statement = "delete from event where id in (select id from event order by id limit $1)"
        return int((await db.execute(statement, limit)).rpartition(" ")[2])

    assert await database.in_batches(delete, batch_rows=2) == 5
    assert left == [5, 3, 1]
    assert await database.in_batches(delete, batch_rows=2) == 0
