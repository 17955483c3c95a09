"""Calls a server from a thread, within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from common.process.completion import until_done
from regiond.images.downloads.http_download import HttpSource, SourceFailed
from regiond.images.file_threads import FileThreads

T = TypeVar("T")


async def run_abortable(threads: FileThreads, source: HttpSource, work: Callable[[], T], *, deadline_s: float) -> T:
    """Returns the result of `work`, which reads from `source`.

    Aborts the transfer if it takes longer than `deadline_s`, and then raises SourceFailed, and if the caller is
    cancelled.
    """
    running = asyncio.ensure_future(threads.run(work))
    running.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        async with asyncio.timeout(deadline_s):
            return await asyncio.shield(running)
    except (TimeoutError, asyncio.CancelledError) as error:
        source.abort()
        await until_done(running)
        if isinstance(error, TimeoutError):
            raise SourceFailed(f"The server has not answered within {deadline_s:.0f} s.", is_lasting=False) from error
        raise
