"""Counts the operations that end in this region, and measures how long they took."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram

from regiond.operations.model import Operation

_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


class OperationMetrics:
    """The operations that a worker of this region has ended, whichever region accepted them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "innkeeper_operations_ended", "Operations that ended in this region, by kind and state.",
            ("kind", "state"), registry=registry,
        )  # fmt: skip
        self._duration = Histogram(
            "innkeeper_operation_duration_seconds", "Time from the request to the end of operations, by kind.",
            ("kind",), registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip

    def ended(self, operation: Operation) -> None:
        """Counts an operation that has ended now."""
        kind = operation.kind.value
        self._ended.labels(kind, operation.state.value).inc()
        duration_s = (datetime.now(UTC) - operation.created_at).total_seconds()  # the database's clock may be ahead
        self._duration.labels(kind).observe(max(0.0, duration_s))
