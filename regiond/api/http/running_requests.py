"""The requests that are being answered: who interrupts them, and their spans.

Each has one span until its answer is known, and one below it while its chunks are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

import structlog
from attrs import define, field
from twisted.internet.defer import Deferred

from common.bodies.body_stream import send
from common.tracing.spans import Kind, Tracer, active
from regiond.api.http.channel import LimitedChannel
from regiond.api.http.fixed_replies import shutdown_reply
from regiond.api.http.site_request import SiteRequest, header, request_id
from regiond.api.replies import Reply

T = TypeVar("T")

READS_END_S = 0.5  # streams of events end by themselves when the region stops; a download would take longer
WEBSOCKETS_END_S = 2.0  # in which a client must answer the end of its WebSocket when the region stops


@define(eq=False)
class RunningRequests:
    """WebSockets are apart from the others: they end with what they are about."""

    _changes: set[asyncio.Task[Reply]] = field(factory=set, init=False)
    _reads: dict[asyncio.Task[Any], SiteRequest] = field(factory=dict, init=False)
    _websockets: dict[asyncio.Task[Any], SiteRequest] = field(factory=dict, init=False)

    def interruptible(self, work: Coroutine[Any, Any, T], request: SiteRequest) -> Deferred[T]:
        """Runs what only reads, or sends, until its end or until the client disconnects."""
        return _started(work, request, self._reads)

    def websocket(self, work: Coroutine[Any, Any, T], request: SiteRequest) -> Deferred[T]:
        """Runs a WebSocket until its end or until the client disconnects."""
        return _started(work, request, self._websockets)

    def uninterrupted(self, work: Coroutine[Any, Any, Reply], request: SiteRequest) -> Deferred[Reply]:
        """Runs a change to its end even if the client disconnects: half a change is worse than an unseen one."""
        request.place.enter()
        task = asyncio.ensure_future(work)
        self._changes.add(task)
        answered: Deferred[Reply] = Deferred()

        def done(ended: asyncio.Task[Reply]) -> None:
            self._changes.discard(ended)
            request.place.leave()
            if answered.called:  # the client disconnected
                return
            if ended.cancelled():
                answered.callback(shutdown_reply(request))
            elif (error := ended.exception()) is not None:  # a bug: without an answer the client would wait for ever
                answered.errback(error)
            else:
                answered.callback(ended.result())

        task.add_done_callback(done)
        return answered

    def stop(self) -> None:
        """Cancels running changes; their clients get 503. Committed operations continue."""
        for task in tuple(self._changes):
            task.cancel()

    async def close(self) -> None:
        """Cancels running changes, and returns when all requests have ended. Who still reads is disconnected."""
        changes = tuple(self._changes)
        self.stop()
        await asyncio.gather(*changes, return_exceptions=True)
        await _finish(self._reads, within_s=READS_END_S)

    async def close_websockets(self) -> None:
        """Returns when all WebSockets have ended. Call it once what they are about has ended, so that clients know why.

        A client that does not answer is disconnected.
        """
        await _finish(self._websockets, within_s=WEBSOCKETS_END_S)


async def traced_reply(tracer: Tracer, request: SiteRequest, work: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply:
    """Returns the reply of `work`. A client may continue its trace, but does not decide that it is sampled."""
    method = request.method.decode("ascii", "replace")
    facts = {"http.request.method": method, "innkeeper.request_id": request_id(request)}
    traceparent = header(request, "traceparent") or ""
    with active(tracer.serve(method, Kind.SERVER, traceparent=traceparent, attributes=facts)) as span:
        if span is None:
            return await work()
        request.traceparent = span.traceparent
        reply = await work()
        span.describe({"http.route": request.endpoint}, name=f"{method} {request.endpoint}")
        span.describe({"http.response.status_code": reply.status})
        if reply.status >= 500:
            span.end(str(reply.status))
        return reply


# A client may disconnect before a task runs: then the coroutine of the task must be the only one that exists.
async def send_chunks(tracer: Tracer, request: SiteRequest, chunks: AsyncGenerator[bytes, None]) -> bytes:
    """Returns nothing more to send."""
    before = request.traceparent
    span = tracer.serve("send", Kind.INTERNAL, traceparent=before, trusted=True) if before else None
    with structlog.contextvars.bound_contextvars(request_id=request_id(request)), active(span):
        if request.method == b"HEAD":
            await chunks.aclose()
        else:
            await send(request, chunks)
    return b""


def _started(
    work: Coroutine[Any, Any, T], request: SiteRequest, running: dict[asyncio.Task[Any], SiteRequest]
) -> Deferred[T]:
    task = asyncio.ensure_future(work)
    running[task] = request
    task.add_done_callback(running.pop)
    return Deferred.fromFuture(task)


async def _finish(running: dict[asyncio.Task[Any], SiteRequest], *, within_s: float) -> None:
    """Returns when all have ended; disconnects the clients of those that last longer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await _all_ended(running)
    for request in tuple(running.values()):
        if request.channel is not None:  # else disconnected
            cast(LimitedChannel, request.channel).abort()
    await _all_ended(running)  # the disconnection cancels them


async def _all_ended(running: dict[asyncio.Task[Any], SiteRequest]) -> None:
    while running:  # a reply that is known begins to be sent
        await asyncio.wait(running)
