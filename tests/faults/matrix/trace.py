"""Counts the points that one run of a scenario crosses, and injects the fault at one of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field, frozen

from common.words.operation_kinds import OperationKind
from regiond.operations.model import Operation
from tests.faults.matrix.points import Place, Point, Side

REQUEST = "request "  # labels of what the request does before there is an operation
THREAD_DEADLINE_S = 60.0


@frozen(kw_only=True)
class Crossing:
    """A point as it is crossed. `connection` is the one whose transaction ends."""

    point: Point
    connection: Any = None
    in_thread: bool = False


Inject = Callable[[Crossing], Awaitable[BaseException | None]]


async def no_fault(_: Crossing) -> None:
    """For a run that only lists the points."""


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@define(kw_only=True, eq=False)
class Trace:
    """Counts the points of one request and its operations; calls `inject` at the point with the name `at`.

    The operations newer than `after` and of one of `kinds` belong to the request. The first kind is the main one; the
    points of the others have their kind as prefix.
    """

    key: str
    after: int
    kinds: tuple[OperationKind, ...]
    at: str | None = None
    inject: Inject = no_fault
    points: list[Point] = field(factory=list)
    injected: asyncio.Event = field(factory=asyncio.Event)
    injected_at: float = 0.0
    ended: bool = False
    counted: asyncio.Event = field(factory=asyncio.Event)  # no further point counts
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _attempts: int = field(default=0, init=False)
    _no_attempt: asyncio.Event = field(factory=_set_event, init=False)
    _crossed: Counter[tuple[str, Side]] = field(factory=Counter, init=False)

    def prefix(self, operation: Operation) -> str | None:
        """The prefix of this operation's points; None if it does not belong to the trace."""
        if self.ended or operation.id <= self.after or operation.kind not in self.kinds:
            return None
        return "" if operation.kind is self.kinds[0] else f"{operation.kind.value}: "

    def end(self) -> None:
        self.ended = True
        self.counted.set()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """While an attempt at one of the operations runs."""
        self._attempts += 1
        self._no_attempt.clear()
        try:
            yield
        finally:
            self._attempts -= 1
            if not self._attempts:
                self._no_attempt.set()

    async def crossed(self) -> None:
        """Waits until the fault is injected or no attempt runs: the caller may have its answer before that.

        PostgreSQL shows a commit to others, and notifies them, before the region that made it gets its answer.
        """
        waits = [asyncio.ensure_future(event.wait()) for event in (self.injected, self._no_attempt)]
        try:
            await asyncio.wait(waits, timeout=THREAD_DEADLINE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def cross(self, prefix: str, place: Place, what: str, side: Side, *, connection: Any = None) -> None:
        """In the event loop. Raises the error of the fault, or does not return."""
        point = self._next(prefix, place, what, side)
        if point is None or point.name != self.at:
            return
        self._mark_injected()
        raised = await self.inject(Crossing(point=point, connection=connection))
        if raised is not None:
            raise raised

    def cross_in_thread(self, prefix: str, what: str, side: Side) -> None:
        """In a thread of the rack, for a call to a host."""
        crossed = asyncio.run_coroutine_threadsafe(self._cross_host_call(prefix, what, side), self._loop)
        raised = crossed.result(THREAD_DEADLINE_S)
        if raised is not None:
            raise raised

    async def _cross_host_call(self, prefix: str, what: str, side: Side) -> BaseException | None:
        point = self._next(prefix, Place.HOST, what, side)
        if point is None or point.name != self.at:
            return None
        self._mark_injected()
        return await self.inject(Crossing(point=point, in_thread=True))

    def _next(self, prefix: str, place: Place, what: str, side: Side) -> Point | None:
        """None after the fault was injected: what follows is the recovery."""
        if self.ended or self.injected.is_set():
            return None
        base = f"{prefix}{place} {what}".rstrip()
        self._crossed[base, side] += 1
        number = self._crossed[base, side]
        numbered = place is Place.COMMIT or number > 1
        point = Point(label=f"{base} {number}" if numbered else base, place=place, side=side)
        self.points.append(point)
        return point

    def _mark_injected(self) -> None:
        self.injected_at = time.monotonic()
        self.injected.set()
        self.counted.set()
