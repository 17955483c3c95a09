"""Follows the events of a region across lost links and restarts, without loss or repetition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from attrs import evolve

from common.errors import InnkeeperError
from common.rpc.commands.client_commands import CLIENT_EVENTS, GAP, EventPart, EventsCall, EventSummary
from common.trust.certificates import utc_now
from innkeeper.rpc_calls.region_calls import RegionCalls

STREAM_S = 1800.0  # the region ends a stream after 1500 s; the next call continues it
STEADY_S = 10.0  # a stream that lasted this long resets the delay before the next call
_DELETED = (
    "Events that followed this id have been deleted, or the id is unknown: read again what you derive from events."
)


@asynccontextmanager
async def following(calls: RegionCalls, call: EventsCall) -> AsyncIterator[AsyncGenerator[EventSummary, None]]:
    """The stream has begun: what happens from now on is in it. Raises the region's error."""
    async with aclosing(_parts(calls, call)) as parts:
        first = await anext(parts)
        async with aclosing(_events(first, parts)) as events:
            yield events


async def _events(first: EventPart, parts: AsyncGenerator[EventPart, None]) -> AsyncGenerator[EventSummary, None]:
    if first.is_gap:
        yield _gap(first.position)
    async for part in parts:
        if part.is_gap:
            yield _gap(part.position)
        if part.event is not None:
            yield part.event


async def _parts(calls: RegionCalls, call: EventsCall) -> AsyncGenerator[EventPart, None]:
    """Yields the parts of one stream after the other, each from the position on at which the one before ended."""
    now, failures, has_begun = asyncio.get_running_loop().time, 0, False
    while True:
        began_at = now()
        try:
            async with aclosing(calls.stream(CLIENT_EVENTS, call, deadline_s=STREAM_S)) as parts:
                async for part in parts:
                    call, has_begun = evolve(call, after=part.position), True
                    yield part
        except InnkeeperError as error:
            if not (has_begun and error.retryable) or calls.is_closed:
                raise
        failures = 0 if now() - began_at >= STEADY_S else failures + 1
        await calls.pause(failures)


def _gap(position: int) -> EventSummary:
    return EventSummary(id=position, at=utc_now().isoformat(), kind=GAP, level="WARNING", message=_DELETED)
