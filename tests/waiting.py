"""How tests wait: for conditions, never for time to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest_twisted
from twisted.internet.defer import Deferred

T = TypeVar("T")


def settle(work: Coroutine[Any, Any, T]) -> T:
    """For fixtures, which are ordinary functions: run `work` under the reactor and return its result."""
    result: T = pytest_twisted.blockon(Deferred.fromFuture(asyncio.ensure_future(work)))
    return result


async def eventually(check: Callable[[], Any], *, deadline_s: float = 60.0, every_s: float = 0.02) -> Any:
    """The first truthy answer of `check`, which may be async; fails with the last answer when `deadline_s` is over."""
    answer: Any = "none yet"
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                found = check()
                answer = await found if inspect_awaitable(found) else found
                if answer:
                    return answer
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"not so within {deadline_s} s; last answer: {answer!r}") from None


def inspect_awaitable(value: object) -> bool:
    return hasattr(value, "__await__")
