"""Runs calls of racks side by side, a bounded number at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

MAX_CONCURRENT = 8


async def concurrently(work: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
    """Runs `work` for all items, at most MAX_CONCURRENT at once; then raises the first error, if any."""
    semaphore = asyncio.Semaphore(MAX_CONCURRENT)

    async def run(item: T) -> None:
        async with semaphore:
            await work(item)

    for error in await asyncio.gather(*map(run, items), return_exceptions=True):
        if error is not None:
            raise error
