"""Counts the checks of the ledger, with the time of the last one."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class CheckMetrics:
    """The comparisons of the ledger with the hosts by this region; regions take turns."""

    def __init__(self, registry: CollectorRegistry, outcomes: Iterable[str]) -> None:
        self._checks = Counter(
            "innkeeper_ledger_checks",
            "Checks of the ledger that this region began, by outcome: completed, failed, or skipped because another "
            "region was checking.",
            ("outcome",), registry=registry,
        )  # fmt: skip
        self._duration = Histogram(
            "innkeeper_ledger_check_duration_seconds", "Duration of completed checks of the ledger.",
            registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip
        self._last = Gauge(
            "innkeeper_ledger_last_check_timestamp_seconds",
            "Time of the last check of the ledger that this region completed; 0: none since its start.",
            registry=registry,
        )
        for outcome in outcomes:
            self._checks.labels(outcome)

    def ended(self, outcome: str, duration_s: float) -> None:
        """Counts a check. Every outcome but `completed` leaves the time of the last one."""
        self._checks.labels(outcome).inc()
        if outcome == "completed":
            self._duration.observe(duration_s)
            self._last.set(time.time())
