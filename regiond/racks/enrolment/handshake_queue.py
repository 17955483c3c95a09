"""Spreads TLS handshakes over time, some milliseconds of the event loop each; addresses take turns."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from common.addresses.ip_networks import network_of
from regiond.requests.request_limits import TokenBuckets

_ALL = "all"  # the key of the one bucket that all share


class Held(Protocol):
    """A connection whose handshake waits."""

    @property
    def remote_host(self) -> str: ...

    def begin_handshake(self) -> bool:
        """Begins the handshake; returns False if the connection has ended."""


@frozen(kw_only=True)
class HandshakeRates:
    """Handshakes per second, and at once (`burst`).

    The rates of an address count connections that were not accepted, or not yet.
    """

    per_s: float
    burst: float
    per_s_of_address: float
    burst_of_address: float


class HandshakeQueue:
    """Begins handshakes at a limited rate, one of each address in turn.

    An address whose connections are rejected has a lower rate, since each takes a token that only `accepted` returns.
    The owner limits how many connections wait, and for how long. `clock` is monotonic, in seconds.
    """

    def __init__(self, rates: HandshakeRates, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._all = TokenBuckets(per_s=rates.per_s, burst=rates.burst, size=1, clock=clock)
        self._addresses = TokenBuckets(per_s=rates.per_s_of_address, burst=rates.burst_of_address, clock=clock)
        self._waiting: OrderedDict[str, deque[Held]] = OrderedDict()  # by network; the first is next
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Held) -> None:
        """Begins the handshake of the connection, now or later."""
        self._waiting.setdefault(network_of(connection.remote_host), deque()).append(connection)
        self._begin()

    def accepted(self, connection: Held) -> None:
        """Puts back the token that its handshake took: the peer has proven that it may connect."""
        self._addresses.put_back(network_of(connection.remote_host))

    def stop(self) -> None:
        """Begins no handshake from now on. Idempotent."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            network, wait_s = self._next_network()
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._begin)
                return
            if self._take(network).begin_handshake():
                self._all.take(_ALL)
                self._addresses.take(network)

    def _next_network(self) -> tuple[str, float]:
        """Returns the network that may begin a handshake first, and in how many seconds."""
        wait_s, network = min(
            ((self._addresses.wait_s(network), network) for network in self._waiting), key=lambda found: found[0]
        )
        return network, max(wait_s, self._all.wait_s(_ALL))

    def _take(self, network: str) -> Held:
        connections = self._waiting.pop(network)
        connection = connections.popleft()
        if connections:
            self._waiting[network] = connections  # behind the others
        return connection
