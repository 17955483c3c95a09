"""A dry run over many hosts: one look at the database, then a pure decision."""

from __future__ import annotations

from regiond.machines.model import AskedHosts, ComposeRequest
from tests.bench.idle import prefilled_region
from tests.bench.measuring import Bench, Line, timed


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(10_000, 1_000)
    dsn = await bench.database()
    async with prefilled_region(bench.new_folder("dry"), dsn, hosts=hosts, machines_each=2) as innkeeper:
        machines = innkeeper.region.parts.services.machines
        request, anywhere = ComposeRequest(cores=1, memory_mib=1024), AskedHosts()

        async def dry(_: int) -> None:
            placement = await machines.dry_run(request, anywhere)
            assert placement.chosen is not None

        await dry(0)
        times = await timed(dry, bench.size(100, 20))
    return [
        Line(what=f"dry run over {hosts} hosts", wanted="p99 ≤ 50 ms", measured=str(times), good=times.p99_ms <= 50)
    ]
