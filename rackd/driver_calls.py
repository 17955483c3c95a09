"""Counts the calls of the drivers to hosts, and measures their duration."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from prometheus_client import CollectorRegistry, Counter, Histogram

from common.process.call_metrics import measured
from common.values import DriverType

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

ObserveCall = Callable[[DriverType, str], AbstractContextManager[None]]  # the block is the call


def unobserved(_: DriverType, what: str) -> AbstractContextManager[None]:
    return nullcontext()


class DriverCallMetrics:
    """An observer of the executor. `outcome` is `ok`, `cancelled` or the code of the error."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "innkeeper_driver_calls", "Calls to hosts, by driver, call and outcome.", ("driver", "call", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._duration = Histogram(
            "innkeeper_driver_call_duration_seconds",
            "Duration of calls to hosts until the rack has the result or gives up, with the wait for earlier calls.",
            ("driver", "call"), registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip

    def observe(self, driver: DriverType, what: str) -> AbstractContextManager[None]:
        """`what` is one of the executor's fixed names of calls, never a text of a host."""
        return measured(self._ended, self._duration, driver.value, what.replace(" ", "_"))
