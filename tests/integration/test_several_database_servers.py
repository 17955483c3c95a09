"""A DSN with several servers: the primary is found, whatever the others do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.history import ServerHistory
from regiond.db.pool import Database, connect
from regiond.db.position import Position
from tests.database import fetchval


async def test_a_silent_server_delays_nothing(tmp_path: Path, database_url: str) -> None:
    silent = await asyncio.start_unix_server(lambda *_: None, tmp_path / ".s.PGSQL.5432")
    found = parse_qs(urlsplit(database_url).query)["host"][0]
    dsn = database_url.replace(f"host={found}", f"host={tmp_path},{found}")
    history = ServerHistory.open(tmp_path)
    database = await Database.open(dsn, history=history, min_size=1)
    try:
        assert await fetchval(database, "select 1") == 1
    finally:
        await database.close()
        silent.close()
    assert history.newest is not None
    assert ServerHistory.open(tmp_path).newest == history.newest


async def test_a_server_that_rejects_the_login_hides_no_primary(tmp_path: Path, database_url: str) -> None:
    """Such as a standby with other rules in pg_hba.conf. It answers before the primary has let us in."""
    rejecting = await asyncio.start_unix_server(_reject, tmp_path / ".s.PGSQL.5432")
    found = parse_qs(urlsplit(database_url).query)["host"][0]
    try:
        dsn = database_url.replace(f"host={found}", f"host={tmp_path},{found}")
        await (await connect(dsn, application_name="test")).close()
        dsn = database_url.replace(f"host={found}", f"host={tmp_path},{tmp_path / 'missing'}")
        with pytest.raises(BadSettings, match="no pg_hba"):
            await connect(dsn, application_name="test")
    finally:
        rejecting.close()


async def _reject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    fields = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0\0"
    writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
    writer.close()


async def test_a_server_with_an_older_history_is_rejected(database_url: str) -> None:
    history = ServerHistory()
    await (await Database.open(database_url, history=history, min_size=1)).close()
    used = history.newest
    assert used is not None
    newer = ServerHistory(newest=Position(system=used.system, timeline=used.timeline + 1))
    with pytest.raises(DatabaseUnavailable, match="former primary"):
        await connect(database_url, application_name="test", history=newer)
    other = ServerHistory(newest=Position(system="7", timeline=9))
    await (await connect(database_url, application_name="test", history=other)).close()


def test_a_damaged_history_is_named(tmp_path: Path) -> None:
    (tmp_path / "database-history.json").write_text("{}")
    with pytest.raises(BadSettings, match=r"database-history\.json is damaged"):
        ServerHistory.open(tmp_path)
