"""The metrics of one region process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Info

from common.release import running_release
from regiond.db.pool import Database
from regiond.metrics.database import DatabaseMetrics
from regiond.metrics.requests import RequestMetrics


class RegionMetrics:
    """All instruments, in a registry of this region: tests run several regions in one process."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        build = Info("innkeeper_build", "The release that runs.", registry=self.registry)
        build.info({"version": running_release(), "program": "regiond"})
        self.requests = RequestMetrics(self.registry)
        self._database = DatabaseMetrics(self.registry, database)

    async def refresh(self) -> None:
        """Reads what a scrape shows of the database. Never raises an error of the database."""
        await self._database.refresh()

    async def stop(self) -> None:
        """Idempotent."""
        await self._database.stop()
