"""A region with a linked rack and no background work: only the benchmark sends requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.process.daemon import freeze_gc
from tests.bench.prefilled import prefill
from tests.deployment.deployment import Deployment
from tests.deployment.in_process import deployed


@asynccontextmanager
async def prefilled_region(folder: Path, dsn: str, *, hosts: int, machines_each: int) -> AsyncIterator[Deployment]:
    """The rack reaches every host. No operation runs, and no host is watched or refreshed."""
    async with deployed(folder, dsn) as innkeeper:
        await innkeeper.start_rack()
        components = innkeeper.region.components
        await components.engine.stop()
        await components.link_supervisor.stop()
        await components.schedule.stop()
        await prefill(dsn, hosts=hosts, machines_each=machines_each)
        freeze_gc()  # as the region daemon does at its start
        yield innkeeper
