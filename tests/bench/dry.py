"""A dry run over many hosts: one look at the database, then a pure decision."""

from __future__ import annotations

from regiond.machines.model import ComposeRequest
from regiond.machines.service import Machines
from tests.bench.idle import prefilled_region
from tests.bench.measuring import Bench, Line, timed


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(10_000, 1_000)
    dsn = await bench.database()
    async with prefilled_region(bench.new_folder("dry"), dsn, hosts=hosts, machines_each=2) as innkeeper:
        machines = innkeeper.region.parts.services.machines
        assert isinstance(machines, Machines)  # the API, which knows it by a Protocol, has no dry run yet
        request = ComposeRequest(cores=1, memory_mib=1024)

        async def dry(_: int) -> None:
            placement = await machines.dry_run(request)
            assert placement.chosen is not None

        await dry(0)
        times = await timed(dry, bench.size(100, 20))
    return [
        Line(what=f"dry run over {hosts} hosts", wanted="p99 ≤ 50 ms", measured=str(times), good=times.p99_ms <= 50)
    ]
