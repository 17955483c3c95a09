"""Requests that arrive during a batch form the next batch, and each receives its own result."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from attrs import define, field

from common.errors import DatabaseUnavailable, OutOfCapacity
from regiond.process.batcher import Batcher


@define
class Doubler:
    """Doubles numbers once `open` is set. Odd numbers get an exception of their own, 13 fails the whole batch."""

    open: asyncio.Event = field(factory=asyncio.Event)
    batches: list[list[int]] = field(factory=list)

    async def process(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(numbers))
        await self.open.wait()
        if 13 in numbers:
            raise DatabaseUnavailable("connection lost")
        return [OutOfCapacity(f"{number} is odd") if number % 2 else 2 * number for number in numbers]


async def submitted(batcher: Batcher[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    """Returns a waiting task for each number."""
    tasks = [asyncio.create_task(batcher.submit(number)) for number in numbers]
    for _ in range(3):  # to submit, to start, to wait
        await asyncio.sleep(0)
    return tasks


async def test_requests_during_a_batch_form_the_next_batch() -> None:
    work = Doubler()
    batcher = Batcher(work.process, limit=3)
    first = await submitted(batcher, 2)
    later = await submitted(batcher, 4, 6, 8, 10)
    assert work.batches == [[2]]
    work.open.set()
    assert await asyncio.gather(*first, *later) == [4, 8, 12, 16, 20]
    assert work.batches == [[2], [4, 6, 8], [10]]
    assert await batcher.submit(12) == 24, "it starts again after an idle period"


async def test_the_exception_of_one_request_does_not_affect_the_others() -> None:
    work = Doubler()
    work.open.set()
    first, odd, last = await submitted(Batcher(work.process, limit=8), 2, 3, 4)
    assert (await first, await last) == (4, 8)
    with pytest.raises(OutOfCapacity, match="3 is odd"):
        await odd
    assert work.batches == [[2, 3, 4]]


async def test_a_failed_batch_fails_all_waiters_and_no_later_request() -> None:
    work = Doubler()
    batcher = Batcher(work.process, limit=2)
    tasks = await submitted(batcher, 2, 13, 4, 6)
    work.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 4
    assert await batcher.submit(8) == 16
    assert work.batches == [[2, 13], [8]]


async def test_a_cancelled_request_is_not_processed() -> None:
    work = Doubler()
    batcher = Batcher(work.process, limit=8)
    (first,) = await submitted(batcher, 2)
    cancelled, waiting = await submitted(batcher, 4, 6)
    cancelled.cancel()
    first.cancel()
    await asyncio.gather(first, cancelled, return_exceptions=True)
    work.open.set()
    assert await waiting == 12
    assert work.batches == [[2], [6]]
