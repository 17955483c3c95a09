"""What one run of a scenario crosses, and the one fault that strikes on the way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from attrs import define, field, frozen

from regiond.operations.model import Operation, OperationKind
from tests.faults.matrix.points import Point, Side, Where

ASKING = "asked "  # what the request itself does, before there is an operation
THREAD_DEADLINE_S = 20.0


@frozen(kw_only=True)
class Crossing:
    """One point as it is met: with the connection whose transaction ends, or the link that is called over."""

    point: Point
    connection: Any = None
    link: Any = None
    in_thread: bool = False


Strike = Callable[[Crossing], Awaitable[BaseException | None]]


async def nothing_dies(_: Crossing) -> None:
    """The strike of a recording."""


@define(kw_only=True, eq=False)
class Trace:
    """Counts the points of one request and its operations. `at` is the name of the point where `strike` is called.

    Of the operations that are newer than `after`, those of `kinds` belong to it; the first kind is the main one, and
    the points of the others are led by their kind.
    """

    key: str
    after: int
    kinds: tuple[OperationKind, ...]
    at: str | None = None
    strike: Strike = nothing_dies
    points: list[Point] = field(factory=list)
    struck: asyncio.Event = field(factory=asyncio.Event)
    struck_at: float = 0.0
    ended: bool = False
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _met: Counter[tuple[str, Side]] = field(factory=Counter, init=False)

    def whose(self, operation: Operation) -> str | None:
        """How labels of this operation's points begin; None when it is not of this trace."""
        if self.ended or operation.id <= self.after or operation.kind not in self.kinds:
            return None
        return "" if operation.kind is self.kinds[0] else f"{operation.kind.value}: "

    async def cross(self, whose: str, where: Where, what: str, side: Side, **more: Any) -> None:
        """In the event loop. Raises what the fault makes of it, or does not come back."""
        point = self._meet(whose, where, what, side)
        if point is None or point.name != self.at:
            return
        self._strikes()
        raised = await self.strike(Crossing(point=point, **more))
        if raised is not None:
            raise raised

    def cross_in_thread(self, whose: str, what: str, side: Side) -> None:
        """In a thread of the rack, about a host."""
        met = asyncio.run_coroutine_threadsafe(self._cross_host(whose, what, side), self._loop)
        raised = met.result(THREAD_DEADLINE_S)
        if raised is not None:
            raise raised

    async def _cross_host(self, whose: str, what: str, side: Side) -> BaseException | None:
        point = self._meet(whose, Where.HOST, what, side)
        if point is None or point.name != self.at:
            return None
        self._strikes()
        return await self.strike(Crossing(point=point, in_thread=True))

    def _meet(self, whose: str, where: Where, what: str, side: Side) -> Point | None:
        """None once the fault has struck: what follows is the recovery."""
        if self.ended or self.struck.is_set():
            return None
        base = f"{whose}{where} {what}".rstrip()
        self._met[base, side] += 1
        number = self._met[base, side]
        numbered = where is Where.COMMIT or number > 1
        point = Point(label=f"{base} {number}" if numbered else base, where=where, side=side)
        self.points.append(point)
        return point

    def _strikes(self) -> None:
        self.struck_at = time.monotonic()
        self.struck.set()
