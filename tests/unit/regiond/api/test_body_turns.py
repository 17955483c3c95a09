"""Long bodies take turns, with pauses in which the requests of others run."""

from __future__ import annotations

import asyncio

import pytest

from common.errors import InvalidRequest
from regiond.api.pipeline.request import LONG_BODY_BYTES, BodyTurns

FORM = "application/x-www-form-urlencoded"
LONG = b"name=" + b"x" * LONG_BODY_BYTES


class Pauses:
    """Each pause lasts until it is ended."""

    def __init__(self) -> None:
        self.open: list[asyncio.Event] = []

    async def begin(self, seconds: float) -> None:
        assert seconds > 0
        self.open.append(asyncio.Event())
        await self.open[-1].wait()


async def ready() -> None:
    """Everything that can run has run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_long_body_waits_for_the_pause_after_the_one_before() -> None:
    pauses = Pauses()
    turns = BodyTurns(pause=pauses.begin)
    first, second = (asyncio.ensure_future(turns.read(FORM, LONG)) for _ in range(2))
    await ready()
    assert len(pauses.open) == 1
    short = await turns.read(FORM, b"name=a")
    assert short.values == {"name": ["a"]}
    pauses.open[0].set()
    assert len((await first).values["name"][0]) == LONG_BODY_BYTES  # type: ignore[arg-type]
    await ready()
    assert len(pauses.open) == 2
    pauses.open[1].set()
    await second


async def test_a_long_body_that_is_malformed_pauses_too() -> None:
    pauses = Pauses()
    turns = BodyTurns(pause=pauses.begin)
    read = asyncio.ensure_future(turns.read("application/json", LONG))
    await ready()
    assert len(pauses.open) == 1
    pauses.open[0].set()
    with pytest.raises(InvalidRequest, match="malformed JSON"):
        await read
