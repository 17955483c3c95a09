"""Migrations interrupted by a kill or a lost connection: the next start completes them, with the same schema."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from attrs import evolve

from common.errors import DatabaseUnavailable
from common.process.daemon import MISCONFIGURED
from regiond.db.migrate import migrate
from regiond.db.migration_files import Migration, packaged
from regiond.db.pool import connect
from tests.deployment.deployment import Deployment
from tests.postgresql.later_migrations import LATER, NEWER
from tests.support.waiting import eventually

# Columns, constraints, indexes, functions, triggers, applied files and the number of initial rows.
_SCHEMA = """
    select 'column', format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
      from information_schema.columns where table_schema = 'public' and table_name <> 'schema_migration'
    union all
    select 'constraint', format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
      from pg_constraint where connamespace = 'public'::regnamespace
    union all
    select 'index', pg_get_indexdef(indexrelid)
      from pg_index join pg_class c on c.oid = indexrelid where c.relnamespace = 'public'::regnamespace and indisvalid
    union all
    select 'function', pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
    union all
    select 'trigger', pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
    union all
    select 'migration', format('%s %s %s', number, name, digest) from schema_migration
    union all
    select 'row', format('%s zones, %s pools, %s fabrics, %s VLANs', (select count(*) from zone),
                         (select count(*) from resource_pool), (select count(*) from fabric),
                         (select count(*) from vlan))
     order by 1, 2
"""
_SLEEPING = """
    select pid from pg_stat_activity
     where datname = current_database() and wait_event = 'PgSleep'
"""
_FILES = (*packaged(), *LATER)
_PROGRAM = """
import asyncio, sys
from attrs import evolve
from regiond.db.migrate import migrate
from regiond.db.migration_files import packaged
from tests.postgresql.later_migrations import LATER
*before, last = [*packaged(), *LATER][: int(sys.argv[2])]
asyncio.run(migrate(sys.argv[1], [*before, evolve(last, sql=f"{last.sql}; select pg_sleep(600)")]))
"""


async def schema_of(dsn: str) -> list[tuple[str, str]]:
    db = await connect(dsn, application_name="test")
    try:
        return [tuple(row) for row in await db.fetch(_SCHEMA)]
    finally:
        await db.close()


def stuck(one: Migration) -> Migration:
    """The same migration, with a last statement that does not end."""
    return evolve(one, sql=f"{one.sql}; select pg_sleep(600)")


async def sleeper(db: asyncpg.Connection[Any]) -> int:
    """Returns the id of the server process that executes a stuck migration."""
    return int(await eventually(lambda: db.fetchval(_SLEEPING), every_s=0.01))


async def test_a_connection_lost_during_any_migration_changes_nothing(
    empty_database_url: str, database_url: str
) -> None:
    files = _FILES
    await migrate(database_url, files)
    watcher = await connect(empty_database_url, application_name="test")
    for index, one in enumerate(files):
        cut = asyncio.create_task(migrate(empty_database_url, [*files[:index], stuck(one)]))
        await watcher.execute("select pg_terminate_backend($1)", await sleeper(watcher))
        with pytest.raises(DatabaseUnavailable):
            await cut
        there = await watcher.fetchval("select to_regclass('schema_migration') is not null")
        assert (await watcher.fetchval("select count(*) from schema_migration") if there else 0) == index
        assert await migrate(empty_database_url, files[: index + 1]) == (one.name,)
    await watcher.close()
    assert await schema_of(empty_database_url) == await schema_of(database_url)


@pytest.mark.parametrize("reached", [1, len(_FILES)], ids=["first file", "last file"])
async def test_a_process_killed_during_a_migration_blocks_no_other(
    reached: int, empty_database_url: str, database_url: str
) -> None:
    """What it has committed stays: all before the transaction of the file that it was at."""
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", _PROGRAM, empty_database_url, str(reached))
    watcher = await connect(empty_database_url, application_name="test")
    await sleeper(watcher)
    killed.kill()
    await killed.wait()
    committed = max((number for number, one in enumerate(_FILES[: reached - 1], start=1) if one.is_alone), default=0)
    assert await watcher.fetchval("select count(*) from schema_migration") == committed
    await watcher.close()
    begun_at = time.monotonic()
    two = await asyncio.gather(  # two regions that start together
        migrate(empty_database_url, _FILES), migrate(empty_database_url, _FILES)
    )
    assert sorted(map(len, two)) == [0, len(_FILES) - committed]
    assert time.monotonic() - begun_at < 120.0  # not 600 s: the server checks the client connection every 2 s
    await migrate(database_url, _FILES)
    assert await schema_of(empty_database_url) == await schema_of(database_url)


async def test_an_outdated_region_exits_with_a_status_without_restart(
    deployment: Deployment, database_url: str
) -> None:
    deployment.processes.dsn = database_url
    (deployment.folder / "simulated").mkdir()
    await deployment.runner.start_region()
    await migrate(database_url, [*packaged(), NEWER])
    process = deployment.processes.running.pop("region")
    await eventually(lambda: process.poll() is not None)
    assert process.returncode == MISCONFIGURED
    assert _units_stay_down(MISCONFIGURED)
    said = (deployment.folder / "region.log").read_text()
    assert "The database is newer than this release: Innkeeper" in said
    assert "applied 9000_next.sql" in said
    assert "Traceback" not in said


def _units_stay_down(status: int) -> bool:
    unit = Path(__file__).resolve().parents[3] / "systemd/innkeeper-regiond.service"
    return f"RestartPreventExitStatus={status}\n" in unit.read_text()
