"""The memory of a region that keeps many hosts and machines: at rest, and the most it took for its longest lists."""

from __future__ import annotations

from tests.bench.daemons import memory_mib, most_memory_mib, prefilled_region_alone
from tests.bench.measuring import Bench, Line


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(1000, 100)
    async with prefilled_region_alone(bench, hosts=hosts, machines_each=50) as daemons:
        api = daemons.api
        await api.get("zones/")
        at_rest = memory_mib(daemons)
        await api.get("vm-hosts/")
        after_hosts = most_memory_mib(daemons)
        await api.get("machines/", deadline_s=300.0)
        most = most_memory_mib(daemons)
    return [
        Line(
            what=f"memory of a region, {hosts} hosts and {hosts * 50} machines",
            wanted="≤ 1024 MiB",
            measured=f"{at_rest:.0f} MiB, {after_hosts:.0f} to list all hosts, {most:.0f} to list all machines",
            good=most <= 1024,
        )
    ]
