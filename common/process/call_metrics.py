"""Counts the RPC calls of a daemon in both directions, and measures their duration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from common.errors import InnkeeperError, InternalError

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class CallMetrics:
    """A CallObserver for all links of a process. `outcome` is `ok`, `cancelled` or the code of the error."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = _Direction(registry, "innkeeper_rpc_call", "RPC calls that this daemon sent")
        self._received = _Direction(registry, "innkeeper_rpc_request", "RPC calls that this daemon received")

    def sent(self, command: str) -> AbstractContextManager[None]:
        return self._sent.measured(command)

    def received(self, command: str) -> AbstractContextManager[None]:
        return self._received.measured(command)


class _Direction:
    def __init__(self, registry: CollectorRegistry, name: str, calls: str) -> None:
        self._ended = Counter(
            f"{name}s", f"{calls}, by command and outcome.", ("command", "outcome"), registry=registry
        )
        self._duration = Histogram(
            f"{name}_duration_seconds", f"Duration of {calls}, by command.", ("command",),
            registry=registry, buckets=_BUCKETS_S,
        )  # fmt: skip
        self._in_progress = Gauge(
            f"{name}s_in_progress", f"{calls} and that have not ended, by command.", ("command",), registry=registry
        )

    @contextmanager
    def measured(self, command: str) -> Iterator[None]:
        in_progress, outcome, began_at = self._in_progress.labels(command), "ok", time.monotonic()
        in_progress.inc()
        try:
            yield
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            in_progress.dec()
            self._ended.labels(command, outcome).inc()
            self._duration.labels(command).observe(max(0.0, time.monotonic() - began_at))


def outcome_of(error: BaseException) -> str:
    """Returns a code of ours: that of an error which only a newer peer knows is `error`."""
    if isinstance(error, InnkeeperError):
        return error.code
    is_cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)  # a stream is closed before its end
    return "cancelled" if is_cancelled else InternalError.code
