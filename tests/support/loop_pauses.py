"""How long an event loop ran nothing else: what any request beside would have waited."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define

from common.process.daemon import freeze_gc

LONGEST_S = 0.1
_TICK_S = 0.002


@define
class Pauses:
    """In CPU time of this process, threads included: other processes do not count, a thread with Python's lock does."""

    longest_s: float = 0.0


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Pauses]:
    """Yields the pauses of the running loop while the block runs.

    What exists is not collected meanwhile, as in a daemon that has started: tests have modules that no daemon has.
    """
    pauses = Pauses()

    async def tick() -> None:
        while True:
            before_s = time.process_time()
            await asyncio.sleep(_TICK_S)
            pauses.longest_s = max(pauses.longest_s, time.process_time() - before_s)

    freeze_gc()
    ticking = asyncio.create_task(tick())
    try:
        await asyncio.sleep(0)
        yield pauses
        await asyncio.sleep(_TICK_S)  # the pause that has just ended
    finally:
        ticking.cancel()
        gc.unfreeze()
