"""A region with a linked rack and nothing going on behind: what is measured is asked for by the benchmark alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.daemon import keep_for_good
from tests.bench.prefilled import prefill
from tests.installation import Installation, installed


@asynccontextmanager
async def prefilled_region(folder: Path, dsn: str, *, hosts: int, machines_each: int) -> AsyncIterator[Installation]:
    """Its rack reaches every host. No operation is taken, no host watched or refreshed."""
    async with installed(folder, dsn) as innkeeper:
        await innkeeper.start_rack()
        parts = innkeeper.region.parts
        await parts.engine.stop()
        await parts.attendance.stop()
        await parts.schedule.stop()
        await prefill(dsn, hosts=hosts, machines_each=machines_each)
        keep_for_good()  # as a region that is a process of its own does when it has started
        yield innkeeper
