"""Migrations: applied once whoever starts first, and refused when the files and the database disagree."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.migrate import _LOCK, RELEASE, Migration, migrate, migration, packaged
from regiond.db.pool import connect

FIRST = migration("0001_inns.sql", "create table inn (name text); insert into inn values ('Prancing Pony');")
SECOND = migration("0002_beds.sql", "alter table inn add column beds integer not null default 1;")
BROKEN = migration("0003_broken.sql", "create table cellar (id integer); insert into cellar values ('no number');")
OUTSIDE = migration(
    "0003_index.sql", "-- no transaction\ncreate index concurrently if not exists by_name on inn (name);"
)
AFTER = migration("0004_after.sql", "alter table inn add column stars integer;")


async def test_missing_files_are_applied_in_order_and_once(empty_database_url: str) -> None:
    assert await migrate(empty_database_url, [FIRST]) == ("0001_inns.sql",)
    assert await migrate(empty_database_url, [FIRST, SECOND]) == ("0002_beds.sql",)
    assert await migrate(empty_database_url, [FIRST, SECOND]) == ()
    assert await _value(empty_database_url, "select sum(beds) from inn") == 1


async def test_a_user_who_may_make_no_tables_is_told_so(empty_database_url: str) -> None:
    separator = "&" if "?" in empty_database_url else "?"
    with pytest.raises(BadSettings, match="refused its user: permission denied for schema public"):
        await migrate(f"{empty_database_url}{separator}role=pg_monitor", [FIRST])


async def test_many_at_once_apply_each_file_once(empty_database_url: str) -> None:
    files = [FIRST, SECOND, OUTSIDE, AFTER]
    applied = await asyncio.gather(*(migrate(empty_database_url, files) for _ in range(6)))
    assert sorted(name for names in applied for name in names) == [one.name for one in files]
    assert await _value(empty_database_url, "select count(*) from inn") == 1


async def test_four_processes_at_once_apply_the_release_once(empty_database_url: str) -> None:
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
    assert await _value(empty_database_url, "select to_regclass('cellar')::text") is None
    assert await migrate(empty_database_url, [FIRST, SECOND]) == ("0002_beds.sql",)


async def test_a_file_edited_after_it_was_applied_is_refused_by_name(empty_database_url: str) -> None:
    await migrate(empty_database_url, [FIRST, SECOND])
    edited = Migration(number=1, name=FIRST.name, sql=FIRST.sql + " -- a harmless comment")
    with pytest.raises(BadSettings, match=r"0001_inns\.sql was edited"):
        await migrate(empty_database_url, [edited, SECOND])


async def test_a_database_newer_than_the_release_is_refused(empty_database_url: str) -> None:
    await migrate(empty_database_url, [FIRST, SECOND])
    told = rf"newer than this release: 0002_beds\.sql was applied to it by Innkeeper {RELEASE}, and this is"
    with pytest.raises(BadSettings, match=told):
        await migrate(empty_database_url, [FIRST])


async def test_a_database_of_a_release_that_kept_no_release_is_migrated_and_says_which_did_it_from_then_on(
    empty_database_url: str,
) -> None:
    await migrate(empty_database_url, [FIRST])
    await _value(empty_database_url, "alter table schema_migration drop column release")
    with pytest.raises(BadSettings, match="by Innkeeper of a later release"):
        await migrate(empty_database_url, [])
    await migrate(empty_database_url, [FIRST, SECOND])
    assert await _value(empty_database_url, "select release from schema_migration where number = 2") == RELEASE


async def test_a_migrated_database_is_fine_while_somebody_else_has_the_lock_or_nothing_can_be_written(
    empty_database_url: str,
) -> None:
    await migrate(empty_database_url, [FIRST])
    separator = "&" if "?" in empty_database_url else "?"
    assert await migrate(f"{empty_database_url}{separator}default_transaction_read_only=on", [FIRST]) == ()
    with pytest.raises(DatabaseUnavailable, match="read-only"):
        await migrate(f"{empty_database_url}{separator}default_transaction_read_only=on", [FIRST, SECOND])


async def test_a_process_that_finds_the_database_locked_for_long_says_by_whom(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regiond.db.migrate._LOCK_DEADLINE_S", 0.2)
    holder = await connect(empty_database_url, application_name="innkeeper-migrate")
    await holder.fetchval("select pg_advisory_lock($1)", _LOCK)
    told = rf"process {holder.get_server_pid()} of the database \(innkeeper-migrate"
    with pytest.raises(DatabaseUnavailable, match=told):
        await migrate(empty_database_url, [FIRST])
    await holder.close()


async def test_a_marked_file_runs_outside_a_transaction(empty_database_url: str) -> None:
    assert await migrate(empty_database_url, [FIRST, SECOND, OUTSIDE, AFTER]) == tuple(
        one.name for one in (FIRST, SECOND, OUTSIDE, AFTER)
    )
    assert await _value(empty_database_url, "select indisvalid from pg_index where indexrelid = 'by_name'::regclass")


def test_the_files_of_the_release_are_numbered_without_gaps() -> None:
    assert [one.number for one in packaged()] == list(range(1, len(packaged()) + 1))


def test_a_region_that_runs_knows_no_more_files_when_a_newer_release_is_installed_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = packaged()
    (tmp_path / "9000_newer.sql").write_text("select 1;")
    monkeypatch.setattr("regiond.db.migrate.resources.files", lambda _: tmp_path)
    assert packaged() == ours


async def _value(dsn: str, query: str) -> object:
    connection = await connect(dsn, application_name="test")
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()
