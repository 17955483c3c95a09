"""Work in threads whose caller is cancelled, once or more often."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from attrs import define, field

from regiond.images.downloads.http_download import HttpSource
from regiond.images.downloads.source_calls import run_abortable
from regiond.images.file_threads import FileThreads
from tests.support.waiting import turns


@define
class Work:
    """Work of a thread that ends when `proceed` is set."""

    began: threading.Event = field(factory=threading.Event)
    proceed: threading.Event = field(factory=threading.Event)
    is_done: bool = False

    def __call__(self) -> None:
        self.began.set()
        self.proceed.wait()
        self.is_done = True


class Aborted:
    """A source whose transfer does not end at once."""

    def abort(self) -> None: ...


async def in_threads(threads: FileThreads, work: Work) -> None:
    await threads.run(work)


async def from_source(threads: FileThreads, work: Work) -> None:
    source: HttpSource = Aborted()  # type: ignore[assignment]
    await run_abortable(threads, source, work, deadline_s=3600)


@pytest.mark.parametrize("call", [in_threads, from_source])
async def test_two_cancellations_still_wait_for_the_work(call: Callable[[FileThreads, Work], Awaitable[None]]) -> None:
    threads, work, was_done = FileThreads(), Work(), list[bool]()

    async def caller() -> None:
        try:
            await call(threads, work)
        finally:
            was_done.append(work.is_done)  # here callers close the file

    task = asyncio.create_task(caller())
    await asyncio.to_thread(work.began.wait)
    try:
        for _ in range(3):
            task.cancel()
            await turns()
        assert was_done == []
    finally:
        work.proceed.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert was_done == [True]
    await threads.stop()
