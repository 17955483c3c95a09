"""Place and claim, committed: what a region can promise a second, and that it promises nothing twice."""

from __future__ import annotations

from regiond.machines.model import ComposeRequest
from tests.bench.idle import prefilled_region
from tests.bench.measuring import Bench, Line, timed
from tests.bench.prefilled import oversubscribed
from tests.installation import Installation

CALLERS = 32


async def measure(bench: Bench) -> list[Line]:
    """Composes that end when the intent is committed; nothing is made on a host."""
    hosts = bench.size(1000, 100)
    dsn = await bench.database()
    folder = bench.new_folder("claims")
    async with prefilled_region(folder, dsn, hosts=hosts, machines_each=50) as innkeeper:
        return [
            await _claims(bench, innkeeper, dsn, hosts, is_named=True),
            await _claims(bench, innkeeper, dsn, hosts, is_named=False),
        ]


async def _claims(bench: Bench, innkeeper: Installation, dsn: str, hosts: int, *, is_named: bool) -> Line:
    machines = innkeeper.region.parts.services.machines

    async def claim(number: int) -> None:
        host_id = 1 + number * 7919 % hosts if is_named else None
        await machines.start_compose(
            innkeeper.admin, ComposeRequest(host_id=host_id, cores=1, memory_mib=1024), need_rack=True
        )

    times = await timed(claim, bench.size(1600, 320), callers=CALLERS)
    too_much = await oversubscribed(dsn)
    return Line(
        what=f"place + claim, host {'named' if is_named else 'chosen'}, {hosts} hosts × 50, {CALLERS} callers",
        wanted="≥ 1000/s, p99 ≤ 100 ms, 0 over",
        measured=f"{times.rate:.0f}/s, {times}, {times.busy_ms:.1f} ms of our CPU each, {too_much} over",
        good=times.rate >= 1000 and times.p99_ms <= 100 and not too_much,
    )
