"""Region and rack as the processes they are, on the bench's own PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bench.measuring import Bench
from tests.bench.prefilled import prefill
from tests.faults.daemons import Daemons


@asynccontextmanager
async def region_and_rack(bench: Bench) -> AsyncIterator[Daemons]:
    """Killed at the end; the database stays until the bench is over."""
    folder = bench.new_folder("daemons")
    made = Daemons(folder=folder, server_folder=folder / "unused", dsn=await bench.database())
    try:
        await made.start_daemons()
        yield made
    finally:
        made.stop()


@asynccontextmanager
async def prefilled_region_alone(bench: Bench, *, hosts: int, machines_each: int) -> AsyncIterator[Daemons]:
    """No rack, so that nothing goes on but what is asked for."""
    folder = bench.new_folder("region")
    dsn = await bench.database()
    await prefill(dsn, hosts=hosts, machines_each=machines_each)
    made = Daemons(folder=folder, server_folder=folder / "unused", dsn=dsn)
    try:
        await made.start_region()
        yield made
    finally:
        made.stop()


def memory_mib(daemons: Daemons) -> float:
    """What the region holds in memory right now."""
    return _status_mib(daemons, "VmRSS")


def most_memory_mib(daemons: Daemons) -> float:
    """The most that the region has held since it started."""
    return _status_mib(daemons, "VmHWM")


def _status_mib(daemons: Daemons, key: str) -> float:
    status = Path(f"/proc/{daemons.running['region'].pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{key}:")]
    return int(line.split()[1]) / 1024
