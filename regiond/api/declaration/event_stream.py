"""Encodes events as server-sent events, which clients read without an end and continue by id."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from regiond.api.json_text import compact
from regiond.api.replies import Reply
from regiond.api.serializers.events import EVENT_JSON
from regiond.events.model import EventBatch

EVENT_STREAM = "text/event-stream; charset=utf-8"
LONGEST_S = 1500  # then clients connect again: before the deadline of a response
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is for nginx
_GAP = "Events that followed this id have been deleted, or the id is unknown: read again what you derive from events."


def stream_reply(start: EventBatch, batches: AsyncGenerator[EventBatch, None]) -> Reply:
    """`batches` follow `start`; they are closed with the response."""
    return Reply(status=200, content_type=EVENT_STREAM, headers=STREAM_HEADERS, chunks=_chunks(start, batches))


async def _chunks(start: EventBatch, batches: AsyncGenerator[EventBatch, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(batches):
        yield b"retry: 2000\n" + _started(start)
        async for batch in batches:
            yield _text(batch)


def _started(start: EventBatch) -> bytes:
    """An id without data is the client's position, and no event."""
    gap = f"event: reload\ndata: {compact({'reason': _GAP})}\n" if start.is_gap else ""
    return f"id: {start.position}\n{gap}\n".encode("ascii")


def _text(batch: EventBatch) -> bytes:
    if not batch.events:
        return f": alive\nid: {batch.position}\n\n".encode("ascii")
    texts = (f"id: {one.id}\ndata: {compact(EVENT_JSON.encode(one))}\n\n" for one in batch.events)
    return "".join(texts).encode("ascii")
