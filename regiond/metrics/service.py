"""The metrics of one region process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from common.process.call_metrics import CallMetrics
from common.process.loop_lag import LoopLag
from common.process.metric_families import Family
from common.process.metrics_registry import daemon_registry
from regiond.attention.model import AttentionLimits
from regiond.db.pool import Database
from regiond.metrics.capacity import CAPACITY
from regiond.metrics.certificates import certificates
from regiond.metrics.checks import CheckMetrics
from regiond.metrics.claims import ClaimMetrics
from regiond.metrics.ended_operations import OperationMetrics
from regiond.metrics.hosts import RACKS, hosts
from regiond.metrics.operations import OPERATIONS
from regiond.metrics.process_state import ProcessState
from regiond.metrics.readings import Readings
from regiond.metrics.records import AUDIT, AUDIT_EXPORT, BACKUP, DISCREPANCIES, MACHINES, attention
from regiond.metrics.refreshes import RefreshMetrics
from regiond.metrics.requests import RequestMetrics


class RegionMetrics:
    """All instruments, in a registry of this region: tests run several regions in one process.

    The other components of the region receive the instruments to which they report. `state` gets what it shows of
    them once they exist.
    """

    def __init__(
        self,
        database: Database,
        *,
        limits: AttentionLimits,
        own_certificates: Callable[[], Mapping[str, datetime]],
        claim_outcomes: Iterable[str],
        check_outcomes: Iterable[str],
    ) -> None:
        self.registry = daemon_registry("regiond")
        self.requests = RequestMetrics(self.registry)
        self.calls = CallMetrics(self.registry)
        self.operations = OperationMetrics(self.registry)
        self.claims = ClaimMetrics(self.registry, claim_outcomes)
        self.checks = CheckMetrics(self.registry, check_outcomes)
        self.refreshes = RefreshMetrics(self.registry)
        self.state = ProcessState(self.registry, database)
        self._lag = LoopLag(self.registry)
        self._readings = Readings(
            self.registry, database,
            (
                OPERATIONS, hosts(timedelta(seconds=limits.stale_after_s)), RACKS, MACHINES, DISCREPANCIES, AUDIT,
                AUDIT_EXPORT, BACKUP,
                certificates(own_certificates), attention(limits), CAPACITY,
            ),
        )  # fmt: skip

    @property
    def families_of_readings(self) -> tuple[Family, ...]:
        """The families that are absent until the database has been read."""
        return self._readings.families

    def start(self) -> None:
        self._lag.start()

    async def refresh(self) -> None:
        """Reads what a scrape shows of the database. Never raises an error of the database."""
        await self._readings.refresh()

    async def stop(self) -> None:
        """Idempotent."""
        await self._lag.stop()
        await self._readings.stop()
