"""Spans of RPC calls: a client span where a call is sent, and a server span where its handler runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from common.rpc.call_observer import CallObserver
from common.rpc.peers import Peer
from common.tracing.spans import Kind, Tracer, active, current, ending
from common.trust.certificates import Role

SYSTEM = "rpc.system"  # the names of OpenTelemetry's conventions
METHOD = "rpc.method"


class TracedCalls:
    """A CallObserver that also passes each call to `observer`.

    Traces begin at calls of RPC clients. Calls between daemons only continue them: a region that has no trace does not
    make its racks begin one.
    """

    def __init__(self, tracer: Tracer, observer: CallObserver) -> None:
        self._tracer = tracer
        self._observer = observer

    @contextmanager
    def sent(self, command: str, peer: str, /) -> Iterator[str]:
        parent = current()
        facts = {SYSTEM: "innkeeper", METHOD: command, "innkeeper.peer": peer}
        # It never becomes current: the block of a stream is left and entered again by other code.
        span = None if parent is None else parent.child(command, Kind.CLIENT, facts)
        with self._observer.sent(command, peer), ending(span):
            yield "" if span is None else span.traceparent

    @contextmanager
    def received(self, command: str, peer: Peer, traceparent: str, /) -> Iterator[None]:
        begins = peer.role is Role.CLIENT
        span = None
        if begins or (traceparent and peer.role is not Role.ANONYMOUS):
            facts = {SYSTEM: "innkeeper", METHOD: command, "innkeeper.peer": peer.name}
            span = self._tracer.serve(
                command, Kind.SERVER, traceparent=traceparent, trusted=not begins, attributes=facts
            )
        with self._observer.received(command, peer, traceparent), active(span):
            yield
