"""Threads for the files of images, so that a slow disk delays neither requests nor other rooms."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from common.process.completion import until_done

T = TypeVar("T")

MAX_THREADS = 3  # one of them hashes at most


class FileThreads:
    """At most `max_threads` pieces of work run at a time; others wait."""

    def __init__(self, max_threads: int = MAX_THREADS) -> None:
        self._threads = ThreadPoolExecutor(max_workers=max_threads, thread_name_prefix="images")
        self._stopped = threading.Event()

    def is_stopped(self) -> bool:
        """Returns whether `stop` was called. Long work checks this, and ends early."""
        return self._stopped.is_set()

    async def run(self, work: Callable[[], T]) -> T:
        """Returns the result of `work`.

        If cancelled, once or more often, waits until `work` has ended: it may still use its file.
        """
        job = self._threads.submit(work)
        running = asyncio.wrap_future(job)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if not job.cancel():
                await until_done(running)
            raise

    async def stop(self) -> None:
        """Cancels waiting work, and returns when running work has ended. Idempotent."""
        self._stopped.set()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
