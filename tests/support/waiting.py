"""Waits for conditions, never for a fixed time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE_S = 150.0  # far above what any condition takes on a busy machine: it finds only what hangs


def settle(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` under the reactor and returns its result, for fixtures, which are plain functions."""
    import pytest_twisted  # here, since processes that only wait start in half the time without it
    from twisted.internet.defer import Deferred

    result: T = pytest_twisted.blockon(Deferred.fromFuture(asyncio.ensure_future(work)))
    return result


async def eventually(check: Callable[[], Any], *, deadline_s: float = DEADLINE_S, every_s: float = 0.02) -> Any:
    """Returns the first truthy result of `check`, which may be async. Fails with the last result at the deadline.

    A clock that the test moves (`tests/support/clock.py`) does not move the deadline.
    """
    ends_at = time.perf_counter() + deadline_s
    while True:
        value = check()
        result = await value if inspect.isawaitable(value) else value
        if result:
            return result
        if time.perf_counter() > ends_at:
            raise AssertionError(f"condition not met within {deadline_s} s; last result: {result!r}")
        await asyncio.sleep(every_s)


async def turns() -> None:
    """Returns when each task that can run has run several times."""
    for _ in range(10):
        await asyncio.sleep(0)
