"""Receives PostgreSQL notifications and reconnects; a reconnection can lose some."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import asyncpg
import structlog

from common.errors import BadSettings, DatabaseUnavailable
from common.trust.certificates import utc_now
from regiond.db.connection import Connection
from regiond.db.errors import translating_errors
from regiond.db.history import ServerHistory
from regiond.db.pool import Row, connect
from regiond.db.position import Position

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

KEEPALIVE_EVERY_S = 15.0  # detects a connection that was cut silently
KEEPALIVE_DEADLINE_S = 10.0
CLOSE_DEADLINE_S = 5.0
_LOG_END = "select pg_current_wal_flush_lsn()::text"


class Notifications:
    """Listens on its own connection from `start` to `stop` and reconnects when it is lost.

    Callbacks are plain functions that run in the event loop with the payload; an exception in one is logged and does
    not affect the others. `on_lost` callbacks run when the connection is lost; `on_resync` callbacks run after every
    connect, including the first, since notifications may have been missed before.
    """

    def __init__(
        self,
        dsn: str,
        *,
        history: ServerHistory | None = None,
        first_delay_s: float = 0.1,
        longest_delay_s: float = 5.0,
    ) -> None:
        self._dsn = dsn
        self._history = history
        self._first_delay_s = first_delay_s
        self._longest_delay_s = longest_delay_s
        self._callbacks: dict[str, list[Callable[[str], None]]] = defaultdict(list)
        self._resync: list[Callable[[], None]] = []
        self._lost: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._connected = False
        self._dropped: asyncio.Event | None = None
        self.lost_at: datetime | None = None  # the end of the last connection
        self.heard: dict[Position, str] = {}  # how far the log of each server was when this region last heard of it

    def on(self, channel: str, callback: Callable[[str], None]) -> None:
        """Calls `callback` with each payload of `channel`. Must precede `start`."""
        self._require_stopped()
        self._callbacks[channel].append(callback)

    def on_resync(self, resync: Callable[[], None]) -> None:
        """Calls `resync` when notifications may have been missed. Must precede `start`."""
        self._require_stopped()
        self._resync.append(resync)

    def on_lost(self, lost: Callable[[], None]) -> None:
        """Calls `lost` when notifications no longer arrive. Must precede `start`."""
        self._require_stopped()
        self._lost.append(lost)

    @property
    def connected(self) -> bool:
        return self._connected

    async def start(self) -> None:
        """Returns when it listens to every channel. Raises DatabaseUnavailable or BadSettings, with nothing started."""
        self._require_stopped()
        first = await self._listen()
        self._task = asyncio.create_task(self._run(first), name="notifications")

    async def stop(self) -> None:
        """Closes the connection. Idempotent; may precede `start`."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _require_stopped(self) -> None:
        if self._task is not None:
            raise RuntimeError("the listener has already started")

    async def _run(self, connection: asyncpg.Connection[Row]) -> None:
        while True:
            try:
                await self._until_lost(connection)
            finally:
                self._connected = False
                self.lost_at = utc_now()
                await _close(connection)
            log.warning("notifications_disconnected")
            for lost in self._lost:
                _call(lost)
            connection = await self._reconnect()
            log.info("notifications_reconnected")

    async def _reconnect(self) -> asyncpg.Connection[Row]:
        delay_s = self._first_delay_s
        while True:
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads regions, no secret
            try:
                return await self._listen()
            # BadSettings too: while a backup is being restored, the database does not exist.
            except (DatabaseUnavailable, BadSettings) as error:
                log.info("notifications_reconnect_failed", reason=error.message)
                delay_s = min(delay_s * 2, self._longest_delay_s)

    async def _listen(self) -> asyncpg.Connection[Row]:
        connection = await connect(self._dsn, application_name="innkeeper-notifications", history=self._history)
        try:
            with translating_errors(connection):
                async with asyncio.timeout(KEEPALIVE_DEADLINE_S):
                    for channel in self._callbacks:
                        await connection.add_listener(channel, self._dispatch)
                    await self._hear(connection)
        except BaseException:
            await _close(connection)
            raise
        self._connected = True
        for resync in self._resync:
            _call(resync)
        return connection

    async def _until_lost(self, connection: asyncpg.Connection[Row]) -> None:
        lost = self._dropped = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not (lost.is_set() or connection.is_closed()):
            try:
                async with asyncio.timeout(KEEPALIVE_EVERY_S):
                    await lost.wait()
            except TimeoutError:
                if not await self._answers(connection):
                    return

    def drop(self) -> None:
        """Connects again, such as to a newer primary. Does nothing while there is no connection."""
        if self._dropped is not None:
            self._dropped.set()

    async def _hear(self, connection: asyncpg.Connection[Row]) -> None:
        position = connection.position if isinstance(connection, Connection) else None
        if position is None:
            await connection.execute("select 1", timeout=KEEPALIVE_DEADLINE_S)
        else:
            self.heard[position] = await connection.fetchval(_LOG_END, timeout=KEEPALIVE_DEADLINE_S)

    async def _answers(self, connection: asyncpg.Connection[Row]) -> bool:
        try:
            await self._hear(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True

    def _dispatch(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        for callback in self._callbacks.get(channel, ()):
            _call(callback, str(payload))


async def _close(connection: asyncpg.Connection[Row]) -> None:
    try:
        await connection.close(timeout=CLOSE_DEADLINE_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection.terminate()


def _call(callback: Callable[..., None], *arguments: Any) -> None:
    try:
        callback(*arguments)
    except Exception:
        log.exception("notification_callback_failed")
