"""The requests that are being answered: which of them a client or the end of the region interrupts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

from attrs import define, field
from twisted.internet.defer import Deferred

from regiond.api.http.channel import LimitedChannel
from regiond.api.http.fixed_replies import shutdown_reply
from regiond.api.http.site_request import SiteRequest
from regiond.api.replies import Reply

T = TypeVar("T")

READS_END_S = 0.5  # streams of events end by themselves when the region stops; a download would take longer


@define(eq=False)
class RunningRequests:
    """All but WebSockets, which end with what they are about."""

    _changes: set[asyncio.Task[Reply]] = field(factory=set, init=False)
    _reads: dict[asyncio.Task[Any], SiteRequest] = field(factory=dict, init=False)

    def interruptible(self, work: Coroutine[Any, Any, T], request: SiteRequest) -> Deferred[T]:
        """Runs what only reads, or sends, until its end or until the client disconnects."""
        task = asyncio.ensure_future(work)
        self._reads[task] = request
        task.add_done_callback(self._reads.pop)
        return Deferred.fromFuture(task)

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
        with suppress(TimeoutError):
            async with asyncio.timeout(READS_END_S):
                await self._reads_end()
        for request in tuple(self._reads.values()):
            if request.channel is not None:  # else disconnected
                cast(LimitedChannel, request.channel).abort()
        await self._reads_end()  # the disconnection cancels them

    async def _reads_end(self) -> None:
        while self._reads:  # a reply that is known begins to be sent
            await asyncio.wait(self._reads)
