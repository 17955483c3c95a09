"""A look at a host through its driver alone, as the rack takes it: what a refresh costs where the host is."""

from __future__ import annotations

import asyncio

from common.discovery import Discovery
from rackd.drivers.contract import Driver
from tests.bench.measuring import Against, Line, Times


async def look(driver: Driver) -> Discovery:
    return await asyncio.to_thread(driver.discover)


def line(
    kind: str,
    guests: int,
    *,
    many_calls: int,
    few_calls: int,
    few: int,
    first: Times,
    again: Times,
    simple: Times,
    simple_way: str,
) -> Line:
    """`many_calls` are those of an unchanged look at all guests, `few_calls` those of one at a `few` of them."""
    return Line(
        key=f"refresh.{kind}",
        what=f"look of the driver at {kind} with {guests} guests",
        wanted=f"≤ 2 s, calls as with {few} guests",
        measured=f"{again}, {many_calls} calls ({few_calls} with {few}); the first look {first.whole_s:.2f} s",
        good=again.p99_ms <= 2000 and many_calls <= few_calls,
        numbers={**again.numbers, "calls": many_calls, "calls_with_few": few_calls, "first_s": round(first.whole_s, 3)},
        against=Against(
            what=simple_way, measured=str(simple), ratio=simple.p50_ms / again.p50_ms, numbers=simple.numbers
        ),
    )
