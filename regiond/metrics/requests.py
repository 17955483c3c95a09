"""Counts the answered requests of the API and the web pages, and measures their duration."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class RequestMetrics:
    """The requests of one region. `endpoint` is a declared name, never the path that a client sent."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("endpoint", "method", "status")
        self._answered = Counter(
            "innkeeper_http_requests", "Requests answered, by endpoint, method and class of the status.", labels,
            registry=registry,
        )  # fmt: skip
        self._duration = Histogram(
            "innkeeper_http_request_duration_seconds",
            "Seconds from the request line to the end of the answer, by endpoint and method.",
            ("endpoint", "method"), registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip

    def answered(self, endpoint: str, method: str, status: int, duration_s: float) -> None:
        """Counts one request. A method that no endpoint has counts as `other`."""
        known = method if method in _METHODS else "other"
        self._answered.labels(endpoint, known, f"{status // 100}xx").inc()
        self._duration.labels(endpoint, known).observe(max(0.0, duration_s))
