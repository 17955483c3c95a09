"""A dump is loaded by programs that are newer than the server, as where Debian 13 restores to PostgreSQL 15 or 16."""

from __future__ import annotations

import asyncio
import re

import pytest

from regiond.backup import programs
from regiond.backup.model import BackupFailed
from regiond.db.pool import Database, connect
from regiond.db.relations import relations
from tests.postgresql.database import execute, fetchval

pytestmark = [pytest.mark.database, pytest.mark.needs_owner]
NEWEST = 18  # of the wheel
OLD = 16  # any release whose servers lack the setting
_ROWS = "insert into zone (name, description) values ('west', E'a\\tb\\\\c\\nSET transaction_timeout = 0;\\n')"


async def dumped(database: Database, dsn: str) -> bytes:
    await execute(database, _ROWS)
    found: list[bytes] = []
    async with database.connection() as db, db.transaction(isolation="repeatable_read"):
        snapshot = await db.fetchval("select pg_export_snapshot()")
        program = programs.find("pg_dump", at_least=NEWEST)
        await asyncio.to_thread(
            programs.dump, dsn, program, snapshot=snapshot, without_rows_of="x", on_data=found.append
        )
    return b"".join(found)


def load(dsn: str, data: bytes) -> None:
    with programs.restoration(programs.find("pg_restore", at_least=NEWEST), dsn, server=OLD) as write:
        write(data)


async def found_in(dsn: str) -> tuple[str, ...]:
    db = await connect(dsn, application_name="test")
    try:
        return tuple(await relations(db))
    finally:
        await db.close()


async def test_newer_programs_load_into_an_older_server(
    database: Database, database_url: str, empty_database_url: str
) -> None:
    await asyncio.to_thread(load, empty_database_url, await dumped(database, database_url))
    assert await found_in(empty_database_url) == await found_in(database_url)
    db = await connect(empty_database_url, application_name="test")
    try:
        west = await db.fetchval("select description from zone where name = 'west'")
        assert west == await fetchval(database, "select description from zone where name = 'west'")
    finally:
        await db.close()


async def test_a_dump_without_its_end_loads_nothing(
    database: Database, database_url: str, empty_database_url: str
) -> None:
    data = await dumped(database, database_url)
    with pytest.raises(BackupFailed, match="pg_restore failed"):
        await asyncio.to_thread(load, empty_database_url, data[: len(data) * 9 // 10])
    assert await found_in(empty_database_url) == ()


async def test_what_the_server_rejects_is_named_and_loads_nothing(
    database: Database, database_url: str, empty_database_url: str
) -> None:
    data = await dumped(database, database_url)
    db = await connect(empty_database_url, application_name="test")
    await db.execute("create table zone ()")
    await db.close()
    with pytest.raises(BackupFailed, match=re.escape('relation "zone" already exists')):
        await asyncio.to_thread(load, empty_database_url, data)
    assert await found_in(empty_database_url) == ("public.zone",)
