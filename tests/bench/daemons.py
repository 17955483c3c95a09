"""Region and rack as processes, on the PostgreSQL of the benchmarks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.machine import status_mib
from tests.bench.measuring import Bench
from tests.bench.prefilled import prefill
from tests.deployment.deployment import Deployment
from tests.deployment.processes import as_processes


@asynccontextmanager
async def region_and_rack(bench: Bench, *, rack_prefix: tuple[str, ...] = ()) -> AsyncIterator[Deployment]:
    """Kills the processes at the end; the database stays until the benchmarks end. `rack_prefix`: see `Processes`."""
    folder = bench.new_folder("deployment")
    made = as_processes(
        folder=folder, server_folder=folder / "unused", dsn=await bench.database(), rack_prefix=rack_prefix
    )
    try:
        await made.start_region_and_rack()
        yield made
    finally:
        made.processes.kill_all()


@asynccontextmanager
async def prefilled_region_alone(bench: Bench, *, hosts: int, machines_each: int) -> AsyncIterator[Deployment]:
    """Has no rack, so that the region only answers requests."""
    folder = bench.new_folder("region")
    dsn = await bench.database()
    await prefill(dsn, hosts=hosts, machines_each=machines_each)
    made = as_processes(folder=folder, server_folder=folder / "unused", dsn=dsn)
    try:
        await made.runner.start_region()
        yield made
    finally:
        made.processes.kill_all()


def memory_mib(deployment: Deployment) -> float:
    """Resident memory of the region now."""
    return status_mib(deployment.processes.running["region"].pid, "VmRSS")


def most_memory_mib(deployment: Deployment) -> float:
    """Peak resident memory of the region since it started."""
    return status_mib(deployment.processes.running["region"].pid, "VmHWM")
