"""Clocks that the test sets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any, TypeVar

from attrs import define

from tests.support.waiting import eventually

T = TypeVar("T")


@define
class Clock:
    """Stands for `time.monotonic`: returns `now`, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


class _Moved:
    """Replaces `time.monotonic`, which is also the clock of the event loop, before any module of Innkeeper is imported.

    If it did so only at the first `advance`, a default such as `clock=time.monotonic` would stay at the real time, and
    what compares it with another reading would take every request for an old one.
    """

    def __init__(self) -> None:
        self._real = time.monotonic
        self.by_s = 0.0

    def __call__(self) -> float:
        return self._real() + self.by_s


_moved = _Moved()
time.monotonic = _moved


async def advance(seconds: float) -> None:
    """From now on it is that much later for `time.monotonic` and the event loop; timers due by then have run.

    A deadline that a busy machine cannot miss then ends at once where the test wants it to. PostgreSQL's clock is not
    moved. Statements in progress end before, so that none misses its deadline. The clock never goes back, not even
    after the test: a timer that was set meanwhile would be late.
    """
    await eventually(lambda: not any(_is_in_database(task) for task in asyncio.all_tasks()), every_s=0.0)
    _moved.by_s += seconds
    for _ in range(2):  # timers that are due are called behind what was ready before
        await asyncio.sleep(0)


async def in_no_time(work: Awaitable[T], *, step_s: float = 1.0) -> T:
    """Returns or raises what `work` does, while time passes as fast as the event loop can follow: see `advance`.

    For work that only waits for timers, such as the deadlines of calls to a host that does not answer. A thread or
    another process does not work faster, so that a call to it can miss its deadline.
    """
    task = asyncio.ensure_future(work)

    async def has_ended() -> bool:
        if not task.done():
            await advance(step_s)
        return task.done()

    try:
        await eventually(has_ended)
    finally:
        task.cancel()
    return await task


def _is_in_database(task: asyncio.Task[Any]) -> bool:
    """Whether the task awaits asyncpg."""
    awaited: Any = task.get_coro()
    while isinstance(awaited, Coroutine | Generator):
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None and "/asyncpg/" in frame.f_code.co_filename:
            return True
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return False
