"""What other processes tell through NOTIFY. Hints only: after each reconnection, read everything afresh."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.errors import while_using
from regiond.db.pool import connect

if TYPE_CHECKING:
    from regiond.db.pool import Row

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

ALIVE_EVERY_S = 15.0  # a connection cut without a word is found out by asking
ALIVE_DEADLINE_S = 10.0
CLOSE_DEADLINE_S = 5.0


class Notifications:
    """Listens on a connection of its own, from `start` to `stop`, and comes back by itself when it is lost.

    Callbacks are plain functions, called in the event loop with the payload; one that raises is logged and hurts
    nobody else. `on_resync` callbacks are called after every connection, the first one too: something may have been
    missed before.
    """

    def __init__(self, dsn: str, *, first_delay_s: float = 0.1, longest_delay_s: float = 5.0) -> None:
        self._dsn = dsn
        self._first_delay_s = first_delay_s
        self._longest_delay_s = longest_delay_s
        self._heard: dict[str, list[Callable[[str], None]]] = defaultdict(list)
        self._resync: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._connected = False

    def on(self, channel: str, heard: Callable[[str], None]) -> None:
        """Have `heard` called with each payload of `channel`. Before `start`."""
        self._before_start()
        self._heard[channel].append(heard)

    def on_resync(self, resync: Callable[[], None]) -> None:
        """Have `resync` called when everything has to be read afresh. Before `start`."""
        self._before_start()
        self._resync.append(resync)

    @property
    def connected(self) -> bool:
        return self._connected

    async def start(self) -> None:
        """Return when every channel is listened to. Raises DatabaseUnavailable or BadSettings, with nothing
        started."""
        self._before_start()
        first = await self._listen()
        self._task = asyncio.create_task(self._stay(first), name="notifications")

    async def stop(self) -> None:
        """End the connection and every callback; harmless when not started."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _before_start(self) -> None:
        if self._task is not None:
            raise RuntimeError("the notifications are listened to already")

    async def _stay(self, connection: asyncpg.Connection[Row]) -> None:
        while True:
            try:
                await self._until_lost(connection)
            finally:
                self._connected = False
                await _close(connection)
            log.warning("notifications_lost")
            connection = await self._listen_again()
            log.info("notifications_back")

    async def _listen_again(self) -> asyncpg.Connection[Row]:
        delay_s = self._first_delay_s
        while True:
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads regions, guards nothing
            try:
                return await self._listen()
            except (DatabaseUnavailable, BadSettings) as error:  # a database being restored has no name for a while
                log.info("notifications_not_back_yet", reason=error.message)
                delay_s = min(delay_s * 2, self._longest_delay_s)

    async def _listen(self) -> asyncpg.Connection[Row]:
        connection = await connect(self._dsn, application_name="innkeeper-notifications")
        try:
            with while_using(connection):
                async with asyncio.timeout(ALIVE_DEADLINE_S):
                    for channel in self._heard:
                        await connection.add_listener(channel, self._tell)
        except BaseException:
            await _close(connection)
            raise
        self._connected = True
        for resync in self._resync:
            _call(resync)
        return connection

    async def _until_lost(self, connection: asyncpg.Connection[Row]) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        while not (lost.is_set() or connection.is_closed()):
            try:
                async with asyncio.timeout(ALIVE_EVERY_S):
                    await lost.wait()
            except TimeoutError:
                if not await _answers(connection):
                    return

    def _tell(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        for heard in self._heard.get(channel, ()):
            _call(heard, str(payload))


async def _answers(connection: asyncpg.Connection[Row]) -> bool:
    try:
        await connection.execute("select 1", timeout=ALIVE_DEADLINE_S)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


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
