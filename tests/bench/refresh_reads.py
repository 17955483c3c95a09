"""Discovery runs through the driver alone: the cost of a refresh at the host."""

from __future__ import annotations

import asyncio

from common.hosts.discovery import Discovery
from rackd.drivers.contract import Driver
from tests.bench.measuring import Line, Times


async def discover(driver: Driver) -> Discovery:
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
    """`many_calls` are the calls of an unchanged discovery run, `few_calls` those on a host with `few` guests."""
    return Line(
        key=f"refresh.{kind}",
        what=f"discovery run of the driver on {kind} with {guests} guests",
        wanted=f"≤ 2 s, calls as with {few} guests",
        measured=f"{again}, {many_calls} calls ({few_calls} with {few}); the first one {first.whole_s:.2f} s",
        good=again.p99_ms <= 2000 and many_calls <= few_calls,
        numbers={**again.numbers, "calls": many_calls, "calls_with_few": few_calls, "first_s": round(first.whole_s, 3)},
        against=simple.against(simple_way, again),
    )
