"""Measures how late the event loop of a daemon runs what is due."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Histogram

from common.process.periodic import PeriodicTask

EVERY_S = 0.25
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class LoopLag:
    """A timer four times a second. Its delay is what every other timer, request and link of the process waited."""

    def __init__(self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due_at: float | None = None
        self._lag = Histogram(
            "innkeeper_event_loop_lag_seconds", "Delay of a timer of the event loop, four times a second.",
            registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip
        self._task = PeriodicTask("event_loop_lag", self.measure, every_s=EVERY_S)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        """Idempotent."""
        await self._task.stop()

    async def measure(self) -> None:
        """Observes the delay since the round was due; the first round has none."""
        if self._due_at is not None:
            self._lag.observe(max(0.0, self._clock() - self._due_at))
        self._due_at = self._clock() + EVERY_S
