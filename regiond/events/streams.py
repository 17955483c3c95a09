"""Streams the growing log of events from some id on, in the order of the ids, without loss or repetition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from attrs import evolve

from regiond.db.pool import Database
from regiond.events import store
from regiond.events.model import EventBatch, EventFilter, LogExtent
from regiond.events.tail import EventTail
from regiond.requests.caller import Caller

PAGE = 100  # events of a batch
SPAN = 10_000  # ids that a query reads at most, however few of their events match
PAUSE_S = 0.3  # between two batches of a reader that is not behind: a hundred readers must cost little
CHECK_EVERY_S = 5.0  # interval of the check that the caller may still read
ALIVE_EVERY_S = 15.0  # a batch without events, so that clients and proxies keep the connection


class EventStreams:
    """The open streams. `still` returns a caller with its current roles, None once its key or account has ended."""

    def __init__(
        self, database: Database, tail: EventTail, *, still: Callable[[Caller], Awaitable[Caller | None]]
    ) -> None:
        self._database = database
        self._tail = tail
        self._still = still

    async def open(
        self, caller: Caller, wanted: EventFilter, *, after_id: int | None, duration_s: float
    ) -> tuple[EventBatch, AsyncGenerator[EventBatch, None]]:
        """Returns the start, without events, and the batches that follow. Raises TooManyAttempts.

        The batches begin after the event `after_id`: 0 means with the oldest stored event, None with the next new one.
        Stored events are always sent; new ones for `duration_s`, while the caller may read and the region runs.
        """
        batches = self._batches(caller, wanted, after_id, time.monotonic() + duration_s)
        return await anext(batches), batches

    async def _batches(
        self, caller: Caller, wanted: EventFilter, after_id: int | None, ends_at: float
    ) -> AsyncGenerator[EventBatch, None]:
        with self._tail.reader(caller):
            start = _start(await self._tail.read(), after_id)
            yield start
            position, stored = start.position, self._tail.horizon
            check_at, alive_at = time.monotonic() + CHECK_EVERY_S, time.monotonic() + ALIVE_EVERY_S
            while not self._tail.is_closed:
                now = time.monotonic()
                if now >= check_at:
                    found = await self._still(caller)
                    if found is None or found.is_admin != caller.is_admin:  # whoever sends them masks for one of both
                        return
                    caller, check_at = found, now + CHECK_EVERY_S
                batch = await self._next(caller, wanted, position)
                position = batch.position
                if batch.events or now >= alive_at:
                    yield batch
                    alive_at = time.monotonic() + ALIVE_EVERY_S
                if now >= ends_at and position >= stored:
                    return
                if position >= self._tail.horizon:
                    await asyncio.sleep(PAUSE_S if batch.events else 0)
                    await self._tail.wait(position, timeout_s=min(check_at, alive_at, ends_at) - time.monotonic())

    async def _next(self, caller: Caller, wanted: EventFilter, position: int) -> EventBatch:
        """Returns the events that follow the position, as far as the log is complete."""
        up_to = min(self._tail.horizon, position + SPAN)
        if up_to <= position:
            return EventBatch(position=position)
        page = evolve(wanted, limit=PAGE)
        async with self._database.connection() as db:
            events = await store.select_between(db, page, position, up_to, caller=caller)
        return EventBatch(events=events, position=events[-1].id if len(events) == PAGE else up_to)


def _start(log: LogExtent, after_id: int | None) -> EventBatch:
    """Returns the position at which a reader starts. After a gap it continues with the oldest stored event."""
    if after_id is None or after_id > log.newest:
        return EventBatch(position=log.horizon, is_gap=after_id is not None)
    before_oldest = log.newest if log.oldest is None else log.oldest - 1
    if 0 < after_id < before_oldest:
        return EventBatch(position=before_oldest, is_gap=True)
    return EventBatch(position=after_id)
