"""Counts the refreshes of hosts, and measures their two stages."""

from __future__ import annotations

from contextlib import AbstractContextManager

from prometheus_client import CollectorRegistry, Counter, Histogram

from common.process.call_metrics import measured

_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class RefreshMetrics:
    """A RefreshObserver."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "innkeeper_host_refreshes", "Refreshes of VM hosts by this region, by stage and outcome.",
            ("stage", "outcome"), registry=registry,
        )  # fmt: skip
        self._duration = Histogram(
            "innkeeper_host_refresh_duration_seconds",
            "Duration of refreshes, by stage: discover asks the host, apply writes what was found.",
            ("stage",), registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip

    def stage(self, name: str) -> AbstractContextManager[None]:
        return measured(self._ended, self._duration, name)
