"""Calls to a region over a link that is made again when it was lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from common.errors import LinkLost
from common.rpc.backoff import Backoff
from common.rpc.commands.client_commands import CLIENT_LIST_HOSTS, CLIENT_LIST_MACHINES, CLIENT_OPERATION, CLIENT_WAIT
from common.rpc.commands.command import Command
from common.rpc.link import Link

CLOSE_S = 5.0
REACH_S = 30.0  # for a stream to begin
# They change nothing. Other calls are repeated only with an idempotency key: who sent them may know what they found.
READS = frozenset({CLIENT_LIST_HOSTS.name, CLIENT_LIST_MACHINES.name, CLIENT_OPERATION.name, CLIENT_WAIT.name})
BACKOFF = Backoff(longest_s=15.0)

Q = TypeVar("Q")
R = TypeVar("R")


class RegionCalls:
    """Calls over `link`, and over those that `reconnect` opens once that is lost, when a call next needs one.

    A call waits for a new link within its deadline. One that was sent when the link was lost is repeated if it changes
    nothing or has an idempotency key; else it raises LinkLost: its outcome is unknown. What `reconnect` raises but
    LinkLost, such as NotAllowed, reaches the caller: the region does not take this client any more.
    """

    def __init__(
        self,
        link: Link,
        reconnect: Callable[[], Awaitable[Link]],
        *,
        backoff: Backoff = BACKOFF,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._link = link
        self._reconnect = reconnect
        self._backoff = backoff
        self._chance = chance
        self._began_at = _now()
        self._failures = 0
        self._lock = asyncio.Lock()  # one attempt at a time, however many calls wait
        self.is_closed = False

    async def call(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> R:
        """Returns the response. Raises as `Link.call`, and LinkLost if there is no link within the deadline."""

        async def once(link: Link, left_s: float) -> R:
            return await link.call(command, request, deadline_s=left_s)

        return await self._repeated(once, deadline_s, is_repeated=_is_repeatable(command, request))

    async def items(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> list[R]:
        """Returns all items of a stream that changes nothing."""

        async def once(link: Link, left_s: float) -> list[R]:
            async with aclosing(link.stream(command, request, deadline_s=left_s)) as items:
                return [item async for item in items]

        return await self._repeated(once, deadline_s, is_repeated=_is_repeatable(command, request))

    async def stream(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> AsyncGenerator[R, None]:
        """Yields the items as `Link.stream`; once it has begun, the end of the link ends it with LinkLost."""
        link = await self._open(_now() + min(REACH_S, deadline_s))
        async with aclosing(link.stream(command, request, deadline_s=deadline_s)) as items:
            async for item in items:
                yield item

    async def pause(self, failures: int) -> None:
        """Waits as before the next attempt after so many failures in a row."""
        await asyncio.sleep(self._backoff.delay_s(failures, rejected=False, chance=self._chance()))

    async def close(self) -> None:
        """Ends the link for good."""
        self.is_closed = True
        self._link.close("the client is done")
        with suppress(TimeoutError):  # what the caller did is done, or has failed for another reason
            async with asyncio.timeout(CLOSE_S):
                await self._link.closed()

    async def _repeated(
        self, once: Callable[[Link, float], Awaitable[R]], deadline_s: float, *, is_repeated: bool
    ) -> R:
        until, lost = _now() + deadline_s, None
        while True:
            try:
                link = await self._open(until)
            except LinkLost as error:
                raise lost or error from error
            try:
                return await once(link, max(0.0, until - _now()))
            except LinkLost as error:
                if link.is_open or not is_repeated:  # on an open link, the region says so of a link of its own
                    raise
                lost = error

    async def _open(self, until: float) -> Link:
        """Returns the link, or a new one. Raises LinkLost if there is none until then, and as `reconnect`."""
        reason = ""
        try:
            async with asyncio.timeout_at(until), self._lock:
                while not (self.is_closed or self._link.is_open):
                    reason = reason or self._link.lost.result().message
                    if _now() - self._began_at >= self._backoff.steady_s:
                        self._failures = 0
                    await self.pause(self._failures)
                    self._failures += 1
                    try:
                        self._link = await self._reconnect()
                    except LinkLost as error:
                        reason = error.message
                    else:
                        self._began_at = _now()
        except TimeoutError:
            raise LinkLost(f"The region cannot be reached, and nothing was sent: {reason or 'no link'}.") from None
        if self.is_closed:
            raise LinkLost("This connection to the region was closed, and nothing was sent.")
        return self._link


def _is_repeatable(command: Command[Any, Any], request: object) -> bool:
    return command.name in READS or getattr(request, "idempotency_key", None) is not None


def _now() -> float:
    return asyncio.get_running_loop().time()
