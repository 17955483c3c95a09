"""What is asked at one moment is worked on together, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from attrs import define, field

from common.errors import DatabaseUnavailable, OutOfCapacity
from regiond.machines.together import Together


@define
class Work:
    """Doubles numbers; waits for `open` before it answers. Odd ones are refused, and 13 is too much for it."""

    open: asyncio.Event = field(factory=asyncio.Event)
    rounds: list[list[int]] = field(factory=list)

    async def do(self, numbers: Sequence[int]) -> Sequence[int | Exception]:
        self.rounds.append(list(numbers))
        await self.open.wait()
        if 13 in numbers:
            raise DatabaseUnavailable("gone")
        return [OutOfCapacity(f"{number} is odd") if number % 2 else 2 * number for number in numbers]


async def asked(together: Together[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    """Each by a task of its own, which waits for its answer."""
    tasks = [asyncio.create_task(together.ask(number)) for number in numbers]
    for _ in range(3):  # to ask, to begin, to wait
        await asyncio.sleep(0)
    return tasks


async def test_what_is_asked_while_some_are_under_way_goes_with_the_next() -> None:
    work = Work()
    together = Together(work.do, most=3)
    first = await asked(together, 2)
    later = await asked(together, 4, 6, 8, 10)
    assert work.rounds == [[2]]
    work.open.set()
    assert await asyncio.gather(*first, *later) == [4, 8, 12, 16, 20]
    assert work.rounds == [[2], [4, 6, 8], [10]]
    assert await together.ask(12) == 24, "it begins again after it had nothing to do"


async def test_one_that_is_refused_fails_nobody_else() -> None:
    work = Work()
    work.open.set()
    good, refused, too = await asked(Together(work.do, most=8), 2, 3, 4)
    assert (await good, await too) == (4, 8)
    with pytest.raises(OutOfCapacity, match="3 is odd"):
        await refused
    assert work.rounds == [[2, 3, 4]]


async def test_a_failure_of_the_work_is_everybodys_who_waits_and_the_next_goes_on() -> None:
    work = Work()
    together = Together(work.do, most=2)
    tasks = await asked(together, 2, 13, 4, 6)
    work.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 4
    assert await together.ask(8) == 16
    assert work.rounds == [[2, 13], [8]]


async def test_who_gives_up_before_it_is_its_turn_is_left_out() -> None:
    work = Work()
    together = Together(work.do, most=8)
    (first,) = await asked(together, 2)
    gone, stays = await asked(together, 4, 6)
    gone.cancel()
    first.cancel()
    await asyncio.gather(first, gone, return_exceptions=True)
    work.open.set()
    assert await stays == 12
    assert work.rounds == [[2], [6]]
