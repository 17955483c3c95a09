"""Tracks the id up to which the growing log of events is complete, for any number of readers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import TooManyAttempts
from common.process.periodic import NextRoundIn, PeriodicTask
from regiond.db.pool import Database
from regiond.events import store
from regiond.events.model import LogExtent
from regiond.requests.caller import Caller

EVENT_CHANNEL = "event"
MAX_READERS = 100  # of a process
MAX_READERS_PER_ACCOUNT = 10
COLLECT_S = 0.05  # the events of a burst are read with one query
UNFINISHED_S = 0.2  # until the next query while an open transaction limits the horizon: a rollback notifies nobody
QUIET_S = 5.0  # until the next query without any notification
RETRY_S = 5


class EventTail:
    """The end of the log. Queries the database only while there are readers, which have positions and no queues."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readers: Counter[int] = Counter()
        self._horizon = 0
        self._advanced = asyncio.Event()
        self._task = PeriodicTask("event_tail", self._round, every_s=QUIET_S)
        self.is_closed = False

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        """Stops the queries. Idempotent."""
        self.close()
        await self._task.stop()

    def close(self) -> None:
        """Ends all waits. Idempotent."""
        self.is_closed = True
        self._wake_readers()

    def wake(self) -> None:
        """Starts a query; called with each notification, and when some may have been missed."""
        if self._readers:
            self._task.wake()

    @property
    def horizon(self) -> int:
        """The id at or before which no event can appear any more."""
        return self._horizon

    @property
    def readers(self) -> int:
        return self._readers.total()

    @contextmanager
    def reader(self, caller: Caller) -> Iterator[None]:
        """Counts a reader while the block runs. Raises TooManyAttempts if there are too many."""
        if self._readers[caller.account_id] >= MAX_READERS_PER_ACCOUNT:
            raise _too_many(f"{caller.username} has", MAX_READERS_PER_ACCOUNT)
        if self.readers >= MAX_READERS:
            raise _too_many("this region has", MAX_READERS)
        self._readers[caller.account_id] += 1
        try:
            yield
        finally:
            self._readers -= Counter((caller.account_id,))  # drops a count of 0

    async def read(self) -> LogExtent:
        """Returns the extent of the log, and wakes the readers that wait for more."""
        async with self._database.connection() as db:
            found = await store.extent(db)
        # The horizon can be lower than before: a transaction that starts at this moment lowers it without need.
        if found.horizon > self._horizon:
            self._horizon = found.horizon
            self._wake_readers()
        return found

    async def wait(self, position: int, *, timeout_s: float) -> None:
        """Returns when the log is complete beyond the position, when the tail closes, or when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._horizon <= position and not self.is_closed:
                    await self._advanced.wait()
        except TimeoutError:
            return

    async def _round(self) -> NextRoundIn | None:
        if not self._readers:
            return None
        await asyncio.sleep(COLLECT_S)
        found = await self.read()
        return NextRoundIn(UNFINISHED_S) if found.newest > found.horizon else None

    def _wake_readers(self) -> None:
        advanced, self._advanced = self._advanced, asyncio.Event()
        advanced.set()


def _too_many(who: str, limit: int) -> TooManyAttempts:
    return TooManyAttempts(
        f"Too many streams of events: {who} {limit} open, the most that are served. Close one first.",
        retry_after_s=RETRY_S,
    )
