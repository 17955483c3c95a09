"""Clocks that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from attrs import define


@define
class Clock:
    """Stands for `time.monotonic`: returns `now`, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def later(seconds: float) -> AsyncIterator[None]:
    """In the block it is that much later for the event loop; what was due in that time has run.

    A deadline that a busy machine cannot miss then ends at once where the test wants it to.
    """
    loop = asyncio.get_running_loop()
    time = loop.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", lambda: time() + seconds)
        for _ in range(2):  # timers that are due are called behind what was ready before
            await asyncio.sleep(0)
        yield
