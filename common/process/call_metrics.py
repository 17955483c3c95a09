"""Counts the RPC calls of a daemon in both directions, and measures their duration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

from common.tracing.spans import code_of

MOST_PEERS = 100  # with a name of their own in metrics
OTHER = "(other)"  # no rack can have this name
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class CallMetrics:
    """A CallObserver for all links of a process. `outcome` is `ok`, `cancelled` or the code of the error."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = _Direction(registry, "innkeeper_rpc_call", "RPC calls that this daemon sent")
        self._received = _Direction(registry, "innkeeper_rpc_request", "RPC calls that this daemon received")
        self._peers = _Peers(registry)

    @contextmanager
    def sent(self, command: str, peer: str) -> Iterator[str]:
        with self._peers.measured(peer), self._sent.measured(command):
            yield ""

    def received(self, command: str, *_: object) -> AbstractContextManager[None]:
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
        with self._in_progress.labels(command).track_inprogress(), measured(self._ended, self._duration, command):
            yield


class _Peers:
    """The calls by the name of the peer: that of a rack or region which an administrator admitted."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "innkeeper_rpc_peer_calls", "RPC calls that this daemon sent, by peer and outcome.", ("peer", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._duration = Summary(
            "innkeeper_rpc_peer_call_duration_seconds", "Duration of RPC calls that this daemon sent, by peer.",
            ("peer",), registry=registry,
        )  # fmt: skip
        self._known: set[str] = set()

    def measured(self, peer: str) -> AbstractContextManager[None]:
        if peer not in self._known and len(self._known) < MOST_PEERS - 1:
            self._known.add(peer)
        return measured(self._ended, self._duration, peer if peer in self._known else OTHER)


@contextmanager
def measured(ended: Counter, duration: Histogram | Summary, *labels: str) -> Iterator[None]:
    """Counts the block by `labels` and outcome, and observes the seconds that it takes by `labels`."""
    outcome, began_at = "ok", time.monotonic()
    try:
        yield
    except BaseException as error:
        outcome = code_of(error)
        raise
    finally:
        ended.labels(*labels, outcome).inc()
        duration.labels(*labels).observe(max(0.0, time.monotonic() - began_at))
