"""Regions that are connected to a database are named by their addresses, also to the owner of its tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import WrongState
from development import postgres
from regiond.commands.backup_commands import recovered
from regiond.db.pool import Database, connect
from regiond.process.settings import RegionSettings
from regiond.recovery.restored_database import connected_regions
from tests.postgresql.database import execute_as_superuser, fetchval

pytestmark = pytest.mark.slow  # it starts a server of its own
ADDRESS = "127.0.73.9"  # of this computer only; others may use the port at its usual address


async def test_the_owner_of_the_tables_sees_where_regions_are(server_folder: Path, tmp_path: Path) -> None:
    local = postgres.start(server_folder, settings={**postgres.FAST, "listen_addresses": ADDRESS})
    for statement in (
        "create role region login",
        "create role owns login in role region",
        "create database own owner owns",
    ):
        await execute_as_superuser(local, statement)
    region = await connect(f"postgresql://region@{ADDRESS}/own", application_name="innkeeper-regiond")
    dsn = f"postgresql://owns@{ADDRESS}/own"
    database = await Database.open(dsn, application_name="innkeeper-restore", min_size=1, max_size=1)
    try:
        async with database.transaction() as db:
            assert await connected_regions(db) == ["127.0.0.1"]
            assert await db.fetchval("select current_user::text") == "owns"
        assert await fetchval(database, "select current_user::text") == "owns"
        with pytest.raises(WrongState, match=r"connected to the database, from 127\.0\.0\.1"):
            await recovered(RegionSettings(database=dsn, state=tmp_path), {})
        assert await fetchval(database, "select to_regclass('schema_migration')::text") is None
    finally:
        await database.close()
        await region.close()
