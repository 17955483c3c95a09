"""Measures refreshes of a host with many guests, first and unchanged: seconds, calls and rows written."""

from __future__ import annotations

from typing import Any

from tests.bench.measuring import Bench, Line, timed
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed
from tests.postgresql.row_versions import versions


async def measure(bench: Bench) -> list[Line]:
    guests = bench.size(1000, 1000)
    dsn = await bench.database()
    async with deployed(bench.new_folder("refresh"), dsn) as innkeeper:
        await innkeeper.start_rack()

        async def add(_: int) -> None:
            await innkeeper.add_simulated("big", cores=256, memory_mib=2**20, storage_gb=10**4, guests=guests)

        before = await versions(dsn)
        first = await timed(add, 1)
        first_rows = await versions(dsn) - before
        few = await innkeeper.add_simulated("few", guests=1)
        few_calls = (await _refresh(innkeeper, few["id"]))["calls"]
        (host,) = [host for host in await innkeeper.get("vm-hosts/") if host["name"] == "big"]
        await _refresh(innkeeper, host["id"])
        before = await versions(dsn)
        again = await timed(lambda _: _refresh(innkeeper, host["id"]), bench.size(20, 5))
        again_rows = await versions(dsn) - before
        calls = (await _refresh(innkeeper, host["id"]))["calls"]
    return [
        Line(
            key="refresh.simulated.first",
            what=f"refresh of {guests} guests, the first (with adding the host)",
            wanted="≤ 2 s",
            measured=f"{first.whole_s:.2f} s, {len(first_rows)} rows",
            good=first.whole_s <= 2,
            numbers={"first_s": round(first.whole_s, 3), "rows": len(first_rows)},
        ),
        Line(
            key="refresh.simulated",
            what=f"refresh of {guests} guests, unchanged",
            wanted="≤ 2 s, 0 rows, calls as with 1 guest",
            measured=f"{again}, {len(again_rows)} rows, {calls} calls ({few_calls} with 1 guest)",
            good=again.p99_ms <= 2000 and not again_rows and calls == few_calls,
            numbers={**again.numbers, "rows": len(again_rows), "calls": calls, "calls_with_one": few_calls},
        ),
    ]


async def _refresh(innkeeper: Deployment, host_id: int) -> Any:
    """The result in the operation."""
    await innkeeper.post(f"vm-hosts/{host_id}/", op="refresh")
    newest = await innkeeper.get("operations/")
    return newest[0]["result"]
