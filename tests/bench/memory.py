"""Measures the memory of a region with many hosts and machines: at rest, and at most for its longest lists."""

from __future__ import annotations

import asyncio
import sys

from tests.bench.daemons import memory_mib, most_memory_mib, prefilled_region_alone
from tests.bench.measuring import Against, Bench, Line


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(1000, 100)
    async with prefilled_region_alone(bench, hosts=hosts, machines_each=50) as deployment:
        api = deployment.api
        await api.get("zones/")
        at_rest = memory_mib(deployment)
        await api.get("vm-hosts/")
        after_hosts = most_memory_mib(deployment)
        size_mb = len((await api.get("machines/", deadline_s=300.0)).body) / 1e6
        most = most_memory_mib(deployment)
        simple = await _holding_all(deployment.dsn)
    return [
        Line(
            key="memory",
            what=f"memory of a region, {hosts} hosts and {hosts * 50} machines",
            wanted="≤ 1024 MiB",
            measured=f"{at_rest:.0f} MiB at rest, {after_hosts:.0f} to list all hosts, {most:.0f} to list all machines "
            f"({size_mb:.0f} MB)",
            good=most <= 1024,
            numbers={"at_rest_mib": round(at_rest), "hosts_mib": round(after_hosts), "most_mib": round(most)},
            against=Against(
                what="a process that holds all rows and their JSON",
                measured=f"{simple:.0f} MiB",
                ratio=simple / most,
                numbers={"most_mib": simple},
            ),
        )
    ]


async def _holding_all(dsn: str) -> float:
    """Returns MiB."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "tests.bench.baselines.holding_all", dsn, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the process that holds all rows failed; its output is above")
    return float(output)
