"""Notifications: delivery, reconnection, and resynchronization after possible losses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from common.errors import DatabaseUnavailable
from regiond.db.listener import Notifications
from regiond.db.pool import Database
from tests.postgresql.database import create_database, drop_database, execute
from tests.support.waiting import eventually

pytestmark = pytest.mark.database

_DISCONNECT = """
    select pg_terminate_backend(pid) from pg_stat_activity
     where application_name = 'innkeeper-notifications' and datname = current_database()
"""


async def test_a_notification_arrives_after_commit(database: Database, database_url: str) -> None:
    received: list[str] = []
    others: list[str] = []
    notifications = Notifications(database_url)
    notifications.on("operation", received.append)
    notifications.on("other", others.append)
    await notifications.start()
    await execute(database, "select pg_notify('operation', '7 running'), pg_notify('unknown', 'no listener')")
    await eventually(lambda: received)
    await notifications.stop()
    assert (received, others) == (["7 running"], [])


async def test_a_lost_connection_is_replaced_and_resynchronized(database: Database, database_url: str) -> None:
    received: list[str] = []
    resyncs: list[int] = []
    notifications = Notifications(database_url, first_delay_s=0.01)
    notifications.on("operation", received.append)
    notifications.on_resync(lambda: resyncs.append(1))
    await notifications.start()
    assert len(resyncs) == 1
    await execute(database, _DISCONNECT)
    await eventually(lambda: len(resyncs) == 2)
    assert notifications.connected
    await execute(database, "select pg_notify('operation', 'after')")
    await eventually(lambda: received == ["after"])
    await notifications.stop()
    assert not notifications.connected


async def test_a_database_that_is_dropped_and_created_is_found_again(
    empty_database_url: str, postgres_server: str
) -> None:
    resyncs: list[int] = []
    notifications = Notifications(empty_database_url, first_delay_s=0.01, longest_delay_s=0.02)
    notifications.on_resync(lambda: resyncs.append(1))
    await notifications.start()
    name = urlsplit(empty_database_url).path.strip("/")
    await drop_database(postgres_server, name)
    await eventually(lambda: not notifications.connected)
    await create_database(postgres_server, name)
    await eventually(lambda: len(resyncs) == 2)
    await notifications.stop()


async def test_a_callback_that_raises_does_not_affect_others(database: Database, database_url: str) -> None:
    received: list[str] = []

    def fails(payload: str) -> None:
        raise KeyError(payload)

    notifications = Notifications(database_url)
    notifications.on("operation", fails)
    notifications.on("operation", received.append)
    await notifications.start()
    await execute(database, "select pg_notify('operation', 'one'), pg_notify('operation', 'two')")
    await eventually(lambda: received == ["one", "two"])
    await notifications.stop()


async def test_start_without_a_server_raises_and_stop_is_idempotent(tmp_path: Path) -> None:
    notifications = Notifications(f"postgresql://innkeeper@/innkeeper?host={tmp_path}")
    with pytest.raises(DatabaseUnavailable):
        await notifications.start()
    await notifications.stop()


async def test_stop_does_not_wait_for_an_unavailable_server(database: Database, database_url: str) -> None:
    notifications = Notifications(database_url, first_delay_s=60.0, longest_delay_s=60.0)
    await notifications.start()
    await execute(database, _DISCONNECT)
    await eventually(lambda: not notifications.connected)
    async with asyncio.timeout(60):
        await notifications.stop()
