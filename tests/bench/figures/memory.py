"""Measures the memory of a region with many hosts and machines: at rest, and at most for its longest lists."""

from __future__ import annotations

import asyncio
import sys

from tests.bench.arrival import Arrival, read_list
from tests.bench.daemons import memory_mib, most_memory_mib, prefilled_region_alone
from tests.bench.measuring import Against, Bench, Line

MAX_MIB = 150
MAX_PAUSE_MS = 50


async def measure(bench: Bench) -> list[Line]:
    hosts = bench.size(1000, 100)
    async with prefilled_region_alone(bench, hosts=hosts, machines_each=50) as deployment:
        api = deployment.api
        await api.get("zones/")
        at_rest = memory_mib(deployment)
        await api.get("vm-hosts/")
        after_hosts = most_memory_mib(deployment)
        key = deployment.processes.api_key
        plain = await read_list(api, key, "machines/")
        most = most_memory_mib(deployment)
        packed = await read_list(api, key, "machines/", headers=("Accept-Encoding: gzip",))
        simple = await _holding_all(deployment.dsn)
    return [
        Line(
            key="memory",
            what=f"memory of a region, {hosts} hosts and {hosts * 50} machines",
            wanted=f"≤ {MAX_MIB} MiB",
            measured=f"{at_rest:.0f} MiB at rest, {after_hosts:.0f} to list all hosts, {most:.0f} to list all machines",
            good=most <= MAX_MIB,
            numbers={"at_rest_mib": round(at_rest), "hosts_mib": round(after_hosts), "most_mib": round(most)},
            against=Against(
                what="a process that holds all rows and their JSON",
                measured=f"{simple:.0f} MiB",
                ratio=simple / most,
                numbers={"most_mib": simple},
            ),
        ),
        _arrival("list.all", f"list all {hosts * 50} machines", plain),
        _arrival("list.all.gzip", f"list all {hosts * 50} machines, with gzip", packed),
    ]


def _arrival(key: str, what: str, found: Arrival) -> Line:
    return Line(
        key=key,
        what=what,
        wanted=f"no pause above {MAX_PAUSE_MS} ms",
        measured=str(found),
        good=found.longest_pause_ms <= MAX_PAUSE_MS,
        numbers={
            "first_byte_ms": round(found.first_byte_s * 1000, 1), "whole_s": round(found.whole_s, 2),
            "body_mb": round(found.body_bytes / 1e6, 1), "longest_pause_ms": round(found.longest_pause_ms, 1),
        },
    )  # fmt: skip


async def _holding_all(dsn: str) -> float:
    """Returns MiB."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "tests.bench.baselines.holding_all", dsn, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("the process that holds all rows failed; its output is above")
    return float(output)
