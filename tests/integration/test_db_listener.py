"""Notifications arrive, survive a lost connection, and say when something may have been missed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import DatabaseUnavailable
from regiond.db.listener import Notifications
from regiond.db.pool import Database, connect
from tests.waiting import eventually


async def test_what_is_told_at_commit_is_heard(database: Database, database_url: str) -> None:
    heard: list[str] = []
    others: list[str] = []
    notifications = Notifications(database_url)
    notifications.on("operation", heard.append)
    notifications.on("other", others.append)
    await notifications.start()
    async with database.transaction() as db:
        await db.execute("select pg_notify('operation', '7 running')")
        await db.execute("select pg_notify('unknown', 'nobody listens')")
    await eventually(lambda: heard)
    await notifications.stop()
    assert (heard, others) == (["7 running"], [])


async def test_after_a_lost_connection_everything_is_read_afresh_and_listening_goes_on(
    database: Database, database_url: str
) -> None:
    heard: list[str] = []
    resyncs: list[int] = []
    notifications = Notifications(database_url, first_delay_s=0.01)
    notifications.on("operation", heard.append)
    notifications.on_resync(lambda: resyncs.append(1))
    await notifications.start()
    assert len(resyncs) == 1
    async with database.connection() as db:
        await db.execute("""
            select pg_terminate_backend(pid) from pg_stat_activity
             where application_name = 'innkeeper-notifications' and datname = current_database()
        """)
        await eventually(lambda: len(resyncs) == 2)
        assert notifications.connected
        await db.execute("select pg_notify('operation', 'after')")
    await eventually(lambda: heard == ["after"])
    await notifications.stop()
    assert not notifications.connected


async def test_a_database_that_has_no_name_for_a_while_is_found_again(
    empty_database_url: str, postgres_server: str
) -> None:
    resyncs: list[int] = []
    notifications = Notifications(empty_database_url, first_delay_s=0.01, longest_delay_s=0.02)
    notifications.on_resync(lambda: resyncs.append(1))
    await notifications.start()
    name = urlsplit(empty_database_url).path.strip("/")
    server = await connect(postgres_server, application_name="innkeeper-test")
    await server.execute(f'drop database "{name}" with (force)')
    await eventually(lambda: not notifications.connected)
    await server.execute(f'create database "{name}"')
    await eventually(lambda: len(resyncs) == 2)
    await notifications.stop()
    await server.close()


async def test_a_callback_that_raises_hurts_nobody_else(database: Database, database_url: str) -> None:
    heard: list[str] = []

    def fails(payload: str) -> None:
        raise KeyError(payload)

    notifications = Notifications(database_url)
    notifications.on("operation", fails)
    notifications.on("operation", heard.append)
    await notifications.start()
    async with database.connection() as db:
        await db.execute("select pg_notify('operation', 'one'), pg_notify('operation', 'two')")
    await eventually(lambda: heard == ["one", "two"])
    await notifications.stop()


async def test_starting_without_a_server_says_so_and_stopping_is_harmless(tmp_path: Path) -> None:
    notifications = Notifications(f"postgresql://innkeeper@/innkeeper?host={tmp_path}")
    with pytest.raises(DatabaseUnavailable):
        await notifications.start()
    await notifications.stop()


async def test_stopping_while_the_server_is_away_ends_at_once(database: Database, database_url: str) -> None:
    notifications = Notifications(database_url, first_delay_s=60.0, longest_delay_s=60.0)
    await notifications.start()
    async with database.connection() as db:
        await db.execute("""
            select pg_terminate_backend(pid) from pg_stat_activity
             where application_name = 'innkeeper-notifications' and datname = current_database()
        """)
    await eventually(lambda: not notifications.connected)
    async with asyncio.timeout(30):
        await notifications.stop()
