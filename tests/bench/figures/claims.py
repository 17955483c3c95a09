"""Measures committed placements per second, and checks that nothing is overcommitted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.guests.compose_request import ComposeRequest
from regiond.db.pool import Database
from tests.bench.baselines.one_lock import OneLock
from tests.bench.baselines.reading_all import Need
from tests.bench.idle import prefilled_region
from tests.bench.measuring import Bench, Line, Times, timed
from tests.bench.prefilled import oversubscribed
from tests.deployment.deployment import Deployment

CALLERS = 32


async def measure(bench: Bench) -> list[Line]:
    """Composes up to the committed intent; no host is called."""
    hosts = bench.size(1000, 100, 3)
    dsn = await bench.database()
    folder = bench.new_folder("claims")
    async with prefilled_region(folder, dsn, hosts=hosts, machines_each=50) as innkeeper:
        return [await _line(bench, innkeeper, dsn, hosts, is_named=is_named) for is_named in (True, False)]


async def _line(bench: Bench, innkeeper: Deployment, dsn: str, hosts: int, *, is_named: bool) -> Line:
    times = await claims(innkeeper, hosts, bench.size(1600, 320, 8), is_named=is_named)
    too_much = await oversubscribed(dsn)
    simple = await claims_with_one_lock(innkeeper, dsn, hosts, bench.size(800, 160, 8), is_named=is_named)
    await oversubscribed(dsn)  # raises if the baseline left an inconsistent ledger
    way = "named" if is_named else "chosen"
    return Line(
        key=f"claims.{way}",
        what=f"place + claim, host {way}, {hosts} hosts × 50, {CALLERS} callers",
        wanted="≥ 1000/s, p99 ≤ 100 ms, 0 over",
        measured=f"{times.rate:.0f}/s, {times}, {times.busy_ms:.1f} ms of our CPU each, {too_much} over",
        good=times.rate >= 1000 and times.p99_ms <= 100 and not too_much,
        numbers={**times.numbers, "oversubscribed": too_much},
        against=simple.against("one global lock", times, by_rate=True),
    )


async def claims(innkeeper: Deployment, hosts: int, times: int, *, is_named: bool) -> Times:
    """Starts composes as the API does, without waiting for their end."""
    composer = innkeeper.region.components.services.composer

    async def claim(number: int) -> None:
        host_id = _named(number, hosts) if is_named else None
        await composer.start_compose(
            innkeeper.admin, ComposeRequest(stock=True, host_id=host_id, cores=1, memory_mib=1024), need_rack=True
        )

    return await _timed_when_warm(claim, times)


async def claims_with_one_lock(innkeeper: Deployment, dsn: str, hosts: int, times: int, *, is_named: bool) -> Times:
    """The baseline: the same claims in the same database, with a connection pool of the same size."""
    database = await Database.open(dsn, application_name="bench-one-lock", acquire_deadline_s=60.0)
    one_lock, need = OneLock(database=database, account_id=innkeeper.admin.account_id), Need()

    async def claim(number: int) -> None:
        await one_lock.claim(need, _named(number, hosts) if is_named else None)

    try:
        return await _timed_when_warm(claim, times)
    finally:
        await database.close()


async def _timed_when_warm(claim: Callable[[int], Awaitable[None]], times: int) -> Times:
    """Times the work after a warm-up with a fifth as many repetitions, which are checked but not counted."""
    numbers = iter(range(times // 5))

    async def caller() -> None:
        for number in numbers:
            await claim(number)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return await timed(claim, times, callers=CALLERS)


def _named(number: int, hosts: int) -> int:
    return 1 + number * 7919 % hosts
