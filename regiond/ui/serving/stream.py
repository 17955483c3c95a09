"""The stream of a page: which objects changed, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Protocol

from common.errors import DatabaseUnavailable, InnkeeperError, TooManyAttempts
from regiond.accounts.sessions import Sessions
from regiond.api import errors
from regiond.api.declaration.event_stream import EVENT_STREAM, LONGEST_S, STREAM_HEADERS
from regiond.api.replies import Reply
from regiond.events.model import Changes
from regiond.requests.caller import Caller
from regiond.ui.rendering.frame import HEARTBEAT_S
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text

CHECK_EVERY_S = 15.0  # whether the session lasts, and which roles its user has
COLLECT_S = 0.1  # changes of one transaction, or of a burst, are one event
MAX_PER_ACCOUNT = 20  # of one region, over all sessions of the account: it may have a hundred of them
RETRY_S = 30
# An event, since scripts see no comments. It has no id: the browser's position stays. Proxies keep the connection too.
_HEARTBEAT = b"event: alive\ndata: {}\n\n"


class Feed(Protocol):
    @property
    def is_closed(self) -> bool: ...
    @property
    def is_interrupted(self) -> bool: ...
    @property
    def position(self) -> str: ...
    async def wait(self, position: str, *, timeout_s: float) -> bool: ...
    def since(self, position: str, caller: Caller) -> Changes: ...


class OpenStreams:
    """One per region."""

    def __init__(self) -> None:
        self._of: Counter[int] = Counter()

    @contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """Counts one more until the block ends. Raises TooManyAttempts if the account has too many."""
        if self._of[caller.account_id] >= MAX_PER_ACCOUNT:
            raise TooManyAttempts(
                text(
                    "{username} has {most} live pages open at this region, which is the limit. "
                    "Close some; this page is refreshed now and then.",
                    username=caller.username,
                    most=MAX_PER_ACCOUNT,
                ),
                retry_after_s=RETRY_S,
            )
        self._of[caller.account_id] += 1
        try:
            yield
        finally:
            self._of -= Counter((caller.account_id,))  # drops a count of 0


def stream_page(feed: Feed, sessions: Sessions) -> Page:
    """The page that browsers read for ever."""
    streams = OpenStreams()

    async def stream(visit: Visit) -> Reply:
        if feed.is_interrupted:
            raise DatabaseUnavailable(
                text("The region has lost its connection to the database, which reports changes to it.")
            )
        position = visit.request.last_event_id or visit.request.option("after") or feed.position
        events = _events(feed, sessions, visit, position, streams)
        try:
            first = await anext(events)  # counted from now on
        except TooManyAttempts as error:
            return errors.reply_for(error)
        chunks = _all(first, events)
        return Reply(status=200, content_type=EVENT_STREAM, headers=STREAM_HEADERS, chunks=chunks)

    return Page(path="stream", handle=stream)


async def _all(first: bytes, events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        yield first
        async for event in events:
            yield event


async def _events(
    feed: Feed, sessions: Sessions, visit: Visit, position: str, streams: OpenStreams
) -> AsyncGenerator[bytes, None]:
    """Ends when the session or the connection to the database does, when the region stops, and after LONGEST_S.

    Raises TooManyAttempts at once if the account has too many.
    """
    with streams.place(visit.caller):
        caller, now = visit.caller, time.monotonic()
        ends_at, check_at, beat_at = now + LONGEST_S, now + CHECK_EVERY_S, now + HEARTBEAT_S
        yield b"retry: 2000\n\n" + _event("position", position or feed.position)
        while not (feed.is_closed or feed.is_interrupted) and time.monotonic() < ends_at:
            is_changed = await feed.wait(position, timeout_s=max(0.0, beat_at - time.monotonic()))
            if time.monotonic() >= check_at:
                found = await _still(sessions, visit)
                if found is None:
                    return
                caller, check_at = found, time.monotonic() + CHECK_EVERY_S
            if is_changed:
                await asyncio.sleep(COLLECT_S)
                changes = feed.since(position, caller)
                position = changes.position
                if changes.is_gap:
                    yield _event("reload", position)
                elif changes.topics:
                    yield _event("changed", position, json.dumps(changes.topics))
            if time.monotonic() >= beat_at:  # also while changes come that this caller does not see
                yield _HEARTBEAT
                beat_at = time.monotonic() + HEARTBEAT_S


async def _still(sessions: Sessions, visit: Visit) -> Caller | None:
    """The caller with the roles that it has now; None once the session has ended or the database is away."""
    try:
        return await sessions.find(visit.request.cookie)
    except InnkeeperError:
        return None


def _event(kind: str, position: str, data: str = "{}") -> bytes:
    return f"event: {kind}\nid: {position}\ndata: {data}\n\n".encode()
