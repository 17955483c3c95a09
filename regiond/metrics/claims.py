"""Counts the attempts to claim capacity for a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter


class ClaimMetrics:
    """Attempts by outcome; each of the `outcomes` has a series from the start, so that a rate of 0 is known."""

    def __init__(self, registry: CollectorRegistry, outcomes: Iterable[str]) -> None:
        self._attempts = Counter(
            "innkeeper_claim_attempts",
            "Attempts to claim the capacity of a host for a new VM, by outcome: won, lost to another request, "
            "retried in a transaction of its own, or out_of_capacity because no host has room.",
            ("outcome",), registry=registry,
        )  # fmt: skip
        for outcome in outcomes:
            self._attempts.labels(outcome)

    def counter(self, outcome: str) -> Callable[[], None]:
        """Returns what counts one attempt with this outcome."""
        return self._attempts.labels(outcome).inc
