"""Counts the refreshes of hosts, and measures their two stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from common.process.call_metrics import outcome_of

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

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        outcome, began_at = "ok", time.monotonic()
        try:
            yield
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            self._ended.labels(name, outcome).inc()
            self._duration.labels(name).observe(max(0.0, time.monotonic() - began_at))
