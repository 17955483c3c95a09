"""The long lists over HTTP, from a region that is a process of its own."""

from __future__ import annotations

from tests.bench.daemons import prefilled_region_alone
from tests.bench.measuring import Bench, Line, timed
from tests.faults.daemons import Daemons


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(1000, 100)
    lines = []
    async with prefilled_region_alone(bench, hosts=hosts, machines_each=50) as daemons:
        page = "machines/?pod=host-7&pod=host-8"
        lines.append(await _list(daemons, page, f"100 of {hosts * 50} machines, by host", bench.size(100, 20), 50))
        path = "machines/?" + "&".join(f"pod=host-{number}" for number in range(1, 101))
        lines.append(await _list(daemons, path, f"5000 of {hosts * 50} machines, by host", bench.size(20, 5)))
        lines.append(await _list(daemons, "vm-hosts/", f"all {hosts} VM hosts", bench.size(20, 5)))
    return lines


async def _list(daemons: Daemons, path: str, what: str, times: int, wanted_ms: float | None = None) -> Line:
    api = daemons.api
    size = len((await api.get(path)).body)
    found = await timed(lambda _: api.get(path), times)
    return Line(
        what=f"list {what}",
        wanted="" if wanted_ms is None else f"p99 ≤ {wanted_ms:.0f} ms",
        measured=f"{found}, {size / 1e6:.1f} MB",
        good=None if wanted_ms is None else found.p99_ms <= wanted_ms,
    )
