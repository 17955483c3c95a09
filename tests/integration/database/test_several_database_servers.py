"""A DSN with several servers: the primary is found, whatever the others do."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db import primary_monitor, servers
from regiond.db.history import ServerHistory
from regiond.db.pool import Database, connect
from regiond.db.position import Position
from regiond.db.primary_monitor import PrimaryMonitor
from tests.postgresql.database import fetchval


@pytest.mark.slow
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
    finally:
        rejecting.close()


async def test_a_server_that_is_down_can_be_the_primary(tmp_path: Path, database_url: str) -> None:
    """So a rejection by a standby says nothing about the settings."""
    rejecting = await asyncio.start_unix_server(_reject, tmp_path / ".s.PGSQL.5432")
    dsn = _replaced(database_url, tmp_path, tmp_path / "missing")
    user = urlsplit(dsn).username or ""
    try:
        with pytest.raises(DatabaseUnavailable) as caught:
            await connect(dsn, application_name="test")
    finally:
        rejecting.close()
    said = caught.value.message
    assert caught.value.details["problem"] in said
    assert caught.value.details["problem"].endswith("of 2 servers, 1 cannot be reached, 1 rejects the login.")
    assert f'{tmp_path}:5432 rejects the login (no pg_hba.conf entry for user "…")' in said
    assert f"{tmp_path / 'missing'}:5432 cannot be reached" in said
    assert user
    assert user not in said


async def test_a_starting_server_can_be_the_primary(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "starting").mkdir()
    starting = await asyncio.start_unix_server(_start, tmp_path / "starting" / ".s.PGSQL.5432")
    rejecting = await asyncio.start_unix_server(_reject, tmp_path / ".s.PGSQL.5432")
    try:
        with pytest.raises(DatabaseUnavailable, match="1 rejects the login, 1 starts or stops"):
            await connect(_replaced(database_url, tmp_path, tmp_path / "starting"), application_name="test")
    finally:
        starting.close()
        rejecting.close()


async def test_a_rejection_by_every_server_is_one_of_the_settings(tmp_path: Path, database_url: str) -> None:
    rejecting = await asyncio.start_unix_server(_reject, tmp_path / ".s.PGSQL.5432")
    try:
        with pytest.raises(BadSettings, match="no pg_hba"):
            await connect(_replaced(database_url, tmp_path, tmp_path), application_name="test")
    finally:
        rejecting.close()


async def test_beside_no_primary_the_rejecting_server_is_it(tmp_path: Path, database_url: str) -> None:
    """The other one is reached, and is a former primary."""
    used = ServerHistory()
    await (await Database.open(database_url, history=used, min_size=1)).close()
    assert used.newest is not None
    newer = ServerHistory(newest=Position(system=used.newest.system, timeline=used.newest.timeline + 1))
    rejecting = await asyncio.start_unix_server(_reject, tmp_path / ".s.PGSQL.5432")
    found = parse_qs(urlsplit(database_url).query)["host"][0]
    try:
        with pytest.raises(BadSettings, match="no pg_hba"):
            await connect(_replaced(database_url, tmp_path, Path(found)), application_name="test", history=newer)
    finally:
        rejecting.close()


def _replaced(dsn: str, *folders: Path) -> str:
    """Returns the DSN with the sockets in these folders as its servers."""
    found = parse_qs(urlsplit(dsn).query)["host"][0]
    return dsn.replace(f"host={found}", f"host={','.join(map(str, folders))}")


async def test_a_rejection_is_no_reason_to_leave_a_slow_primary(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distant primary needs several round trips for TLS and the password; the rejecting standby is near."""
    monkeypatch.setattr(servers, "GRACE_S", 0.0)
    rejecting = await asyncio.start_unix_server(_reject, tmp_path / ".s.PGSQL.5432")
    found = parse_qs(urlsplit(database_url).query)["host"][0]
    try:
        dsn = database_url.replace(f"host={found}", f"host={tmp_path},{found}")
        await (await connect(dsn, application_name="test")).close()
    finally:
        rejecting.close()


async def test_a_newer_primary_is_known_although_it_then_falls_silent(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(primary_monitor, "CONNECT_DEADLINE_S", 0.01)
    real = f"{parse_qs(urlsplit(database_url).query)['host'][0]}/.s.PGSQL.5432"
    silent = await asyncio.start_unix_server(partial(_forward_until_the_end, real), tmp_path / ".s.PGSQL.5432")
    dsn = database_url.replace(f"host={Path(real).parent}", f"host={tmp_path}")
    database = await Database.open(database_url, history=(used := ServerHistory()), min_size=1)
    try:
        assert used.newest is not None
        former = ServerHistory(newest=Position(system=used.newest.system, timeline=used.newest.timeline - 1))
        replaced: list[Position | None] = []
        monitor = PrimaryMonitor(dsn, database, former, on_newer=lambda: replaced.append(former.newest))
        await monitor.check()
        assert replaced == [used.newest]
    finally:
        await database.close()
        silent.close()


async def _forward_until_the_end(real: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forwards all but the request to close the connection, so the client gets no answer to it."""
    from_server, to_server = await asyncio.open_unix_connection(real)

    async def answers() -> None:
        while data := await from_server.read(65536):
            writer.write(data)

    answering = asyncio.create_task(answers())
    while data := await reader.read(65536):
        if not data.startswith(b"X"):
            to_server.write(data)
    to_server.close()
    await answering
    writer.close()


async def _reject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Names the user, as PostgreSQL does."""
    words = (await reader.read(4096))[8:].split(b"\0")
    user = words[words.index(b"user") + 1]
    await _answer(writer, b'C28000\0Mno pg_hba.conf entry for user "' + user + b'"')


async def _start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await _answer(writer, b"C57P03\0Mthe database system is starting up")


async def _answer(writer: asyncio.StreamWriter, error: bytes) -> None:
    fields = b"SFATAL\0VFATAL\0" + error + b"\0\0"
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
