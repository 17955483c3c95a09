"""Migrations: applied once by concurrent processes, rejected if files and database disagree."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from common.errors import BadSettings, DatabaseUnavailable
from common.release import running_release
from regiond.db.migrate import MIGRATION_LOCK, migrate, missing_migrations
from regiond.db.migration_files import Migration, migration, packaged
from regiond.db.pool import Db, connect
from regiond.operations.model import OPEN_STATES, OperationState
from tests.postgresql.database import as_superuser, with_option
from tests.postgresql.later_migrations import LATER
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

FIRST = migration("0001_hosts.sql", "create table host (name text); insert into host values ('one');")
SECOND = migration("0002_cores.sql", "alter table host add column cores integer not null default 1;")
BROKEN = migration("0003_broken.sql", "create table guest (id integer); insert into guest values ('no number');")
OUTSIDE = migration(
    "0003_index.sql", "-- no transaction\ncreate index concurrently if not exists by_name on host (name);"
)
# For 0.4 s: PostgreSQL looks for a deadlock after each wait of 1 s, and the migration has to be the first to look.
_WAITS = """
    select true from pg_locks
     where not granted and relation is not null and waitstart < clock_timestamp() - interval '400 ms' limit 1
"""
AFTER = migration("0004_after.sql", "alter table host add column zone integer;")


async def test_missing_files_are_applied_in_order_and_once(empty_database_url: str) -> None:
    assert await migrate(empty_database_url, [FIRST]) == ("0001_hosts.sql",)
    assert await migrate(empty_database_url, [FIRST, SECOND]) == ("0002_cores.sql",)
    assert await migrate(empty_database_url, [FIRST, SECOND]) == ()
    assert await _value(empty_database_url, "select sum(cores) from host") == 1


async def test_a_user_without_privileges_is_reported(empty_database_url: str) -> None:
    with pytest.raises(BadSettings, match=r"the role pg_monitor may not create them.*innkeeper region init"):
        await migrate(with_option(as_superuser(empty_database_url), "role=pg_monitor"), [FIRST])


async def test_concurrent_calls_apply_each_file_once(empty_database_url: str) -> None:
    files = [FIRST, SECOND, OUTSIDE, AFTER]
    applied = await asyncio.gather(*(migrate(empty_database_url, files) for _ in range(6)))
    assert sorted(name for names in applied for name in names) == [one.name for one in files]
    assert await _value(empty_database_url, "select count(*) from host") == 1


async def test_concurrent_processes_apply_the_release_once(empty_database_url: str) -> None:
    program = "import asyncio, sys; from regiond.db.migrate import migrate; print(asyncio.run(migrate(sys.argv[1])))"
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, empty_database_url, stdout=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    answers = [(await process.communicate())[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert sum(packaged()[0].name in answer for answer in answers) == 1
    assert await _value(empty_database_url, "select count(*) from schema_migration") == len(packaged())


async def test_a_broken_file_changes_nothing_and_is_named(empty_database_url: str) -> None:
    await migrate(empty_database_url, [FIRST])
    with pytest.raises(BadSettings, match=r"0003_broken\.sql of Innkeeper .* failed: invalid input syntax"):
        await migrate(empty_database_url, [FIRST, SECOND, BROKEN])
    assert await _value(empty_database_url, "select max(number) from schema_migration") == 1
    assert await _value(empty_database_url, "select to_regclass('guest')::text") is None
    assert await migrate(empty_database_url, [FIRST, SECOND]) == ("0002_cores.sql",)


_CONTINUES = "-- usable by releases that know 0001\n"


@pytest.mark.parametrize(
    ("comments", "applied", "said"),
    [
        ([""], 1, "Nothing was changed. Start the previous release again and report this message."),
        ([_CONTINUES], 2, "Before it, 0002_add.sql was applied, with which the previous release continues. Start"),
        (["-- no transaction\n"], 2, "Before it, 0002_add.sql was applied, with which the previous release cannot"),
        (
            [_CONTINUES, "-- usable by releases that know 0002\n"],
            3,
            "were applied, with which the previous release cannot",
        ),
    ],
    ids=["one transaction", "usable", "outside", "usable by a later one"],
)
async def test_a_failure_says_whether_the_previous_release_works(
    empty_database_url: str, comments: list[str], applied: int, said: str
) -> None:
    """The transactions before that of the broken file remain; the older release then starts, or says that it cannot."""
    await migrate(empty_database_url, [FIRST])
    files = [
        migration(f"{number:04}_add.sql", f"{comment}alter table host add column added_{number} integer;")
        for number, comment in enumerate(comments, start=2)
    ]
    broken = migration(f"{len(files) + 2:04}_broken.sql", BROKEN.sql)
    with pytest.raises(BadSettings, match=re.escape(said)):
        await migrate(empty_database_url, [FIRST, *files, broken])
    assert await _value(empty_database_url, "select max(number) from schema_migration") == applied
    if "continues" not in said and applied > 1:
        with pytest.raises(BadSettings, match="newer than this release"):
            await migrate(empty_database_url, [FIRST])
    else:
        assert await migrate(empty_database_url, [FIRST]) == ()


async def test_a_database_that_is_being_migrated_is_no_unfinished_restore(empty_database_url: str) -> None:
    with pytest.raises(BadSettings):
        await migrate(empty_database_url, [BROKEN])
    db = await connect(empty_database_url, application_name="test")

    class MigratedMeanwhile:
        """Another process commits its files right after the rows were read."""

        fetchval = db.fetchval

        async def fetch(self, statement: str) -> Any:
            rows = await db.fetch(statement)
            await migrate(empty_database_url)
            return rows

    try:
        assert await missing_migrations(cast("Db", MigratedMeanwhile())) == []
    finally:
        await db.close()


async def test_an_edited_file_is_rejected_by_name(empty_database_url: str) -> None:
    await migrate(empty_database_url, [FIRST, SECOND])
    edited = Migration(number=1, name=FIRST.name, sql=FIRST.sql + " -- a harmless comment")
    with pytest.raises(BadSettings, match=r"0001_hosts\.sql was edited"):
        await migrate(empty_database_url, [edited, SECOND])


async def test_a_database_of_an_earlier_checkout_is_not_taken_for_a_newer_one(empty_database_url: str) -> None:
    """Its first file was another, and this release does not know the others."""
    await migrate(empty_database_url, [FIRST, SECOND])
    with pytest.raises(BadSettings, match=r"before release 1\.0 are not upgraded: use an empty one"):
        await migrate(empty_database_url)
    assert await _value(empty_database_url, "select to_regclass('machine')::text") is None


async def test_a_newer_database_is_rejected(empty_database_url: str) -> None:
    await migrate(empty_database_url, [FIRST, SECOND])
    message = (
        rf"newer than this release: Innkeeper {re.escape(running_release())} applied 0002_cores\.sql, which Innkeeper"
    )
    with pytest.raises(BadSettings, match=message):
        await migrate(empty_database_url, [FIRST])


async def test_a_release_continues_on_files_that_leave_its_statements_valid(empty_database_url: str) -> None:
    added = migration(
        "0003_zone.sql", "-- usable by releases that know 0002\nalter table host add column zone integer;"
    )
    await migrate(empty_database_url, [FIRST, SECOND, added], release="9.0.0")
    assert await migrate(empty_database_url, [FIRST, SECOND]) == ()
    with pytest.raises(BadSettings, match=r"Innkeeper 9\.0\.0 applied 0002_cores\.sql, 0003_zone\.sql, which"):
        await migrate(empty_database_url, [FIRST])


async def test_a_current_database_may_be_read_only(empty_database_url: str) -> None:
    await migrate(empty_database_url, [FIRST])
    read_only = with_option(empty_database_url, "default_transaction_read_only=on")
    assert await migrate(read_only, [FIRST]) == ()
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        await migrate(read_only, [FIRST, SECOND])


async def test_a_lock_timeout_names_the_process_that_holds_the_lock(empty_database_url: str) -> None:
    holder = await connect(empty_database_url, application_name="innkeeper-migrate")
    await holder.fetchval("select pg_advisory_lock($1)", MIGRATION_LOCK)
    message = rf"by database process {holder.get_server_pid()} \(innkeeper-migrate"
    with pytest.raises(DatabaseUnavailable, match=message):
        await migrate(empty_database_url, [FIRST], lock_deadline_s=0.2)
    await holder.close()


@pytest.mark.parametrize(("first", "then"), [("machine", "event"), ("event", "machine")])
@pytest.mark.needs_owner
async def test_a_running_older_region_ends_its_transaction(database_url: str, first: str, then: str) -> None:
    """Its transaction gets the second table while the migration waits for the first."""
    region, watcher = [await connect(database_url, application_name="test") for _ in range(2)]
    try:
        async with region.transaction():
            await region.execute(f"lock table {first} in row exclusive mode")
            migrating = asyncio.create_task(migrate(database_url, [*packaged(), *LATER]))
            await eventually(lambda: watcher.fetchval(_WAITS), every_s=0.01)
            await region.execute(f"lock table {then} in row exclusive mode")
        assert await migrating == tuple(one.name for one in LATER)
    finally:
        await region.close()
        await watcher.close()


@pytest.mark.slow
async def test_a_transaction_that_does_not_end_is_named(empty_database_url: str) -> None:
    await migrate(empty_database_url, [FIRST])
    region = await connect(empty_database_url, application_name="old-region")
    async with region.transaction():
        await region.execute("lock table host in row exclusive mode")
        with pytest.raises(DatabaseUnavailable, match=rf"database process {region.get_server_pid()} \(old-region"):
            await migrate(empty_database_url, [FIRST, SECOND], lock_deadline_s=0.2)
    await region.close()
    assert await migrate(empty_database_url, [FIRST, SECOND]) == (SECOND.name,)


async def test_a_file_with_that_comment_runs_outside_a_transaction(empty_database_url: str) -> None:
    files = [FIRST, SECOND, OUTSIDE, AFTER]
    assert await migrate(empty_database_url, files) == tuple(one.name for one in files)
    assert await _value(empty_database_url, "select indisvalid from pg_index where indexrelid = 'by_name'::regclass")


async def test_such_a_file_runs_while_others_write(empty_database_url: str) -> None:
    """It waits for no lock of all tables."""
    await migrate(empty_database_url, [FIRST])
    region = await connect(empty_database_url, application_name="test")
    async with region.transaction():
        await region.execute("lock table host in row exclusive mode")
        outside = migration("0002_names.sql", "-- no transaction\nupdate host set name = 'two' where name = 'one'")
        assert await migrate(empty_database_url, [FIRST, outside], lock_deadline_s=0.2) == (outside.name,)
    await region.close()
    assert await _value(empty_database_url, "select name from host") == "two"


def test_the_files_of_the_release_are_numbered_without_gaps() -> None:
    assert [one.number for one in packaged()] == list(range(1, len(packaged()) + 1))


def test_a_running_region_ignores_files_of_a_release_installed_later(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("select 1;")
    known = packaged(tmp_path)
    (tmp_path / "9000_newer.sql").write_text("select 1;")
    assert [one.name for one in packaged(tmp_path)] == [one.name for one in known] == ["0001_first.sql"]


async def test_every_table_has_a_comment(database_url: str) -> None:
    uncommented = "select array_agg(relname::text) from pg_class where relkind = 'r' and obj_description(oid) is null"
    of_innkeeper = " and relnamespace = 'public'::regnamespace and relname <> 'schema_migration'"
    assert await _value(database_url, uncommented + of_innkeeper) is None


async def test_is_open_matches_the_open_states(database_url: str) -> None:
    open_states = "select array_agg(state) from (select state, is_open from operation) o where is_open"
    insert = "insert into operation (kind, state, max_failures) select 'refresh', unnest($1::text[]), 0"
    db = await connect(database_url, application_name="test")
    await db.execute(insert, [state.value for state in OperationState])
    assert {*await db.fetchval(open_states)} == {state.value for state in OPEN_STATES}
    await db.close()


async def _value(dsn: str, query: str) -> object:
    connection = await connect(dsn, application_name="test")
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
