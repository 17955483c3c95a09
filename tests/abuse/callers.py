"""Concurrent attackers, each of which repeats its work until it is cancelled."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from tests.abuse.attack import Tally

NO_ANSWER = "no answer"
PAUSE_S = 0.05  # after a lost connection


async def repeat(callers: int, work: Callable[[int], Awaitable[None]], tally: Tally) -> None:
    """Runs `work(n)` with a new number each time. A lost connection and a missed deadline count as answers."""
    numbers = itertools.count()

    async def caller() -> None:
        while True:
            try:
                await work(next(numbers))
            except TimeoutError:
                tally.count(NO_ANSWER)
            except (OSError, EOFError):
                tally.count("closed")
                await asyncio.sleep(PAUSE_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
