"""Limits how many connections a port has open: in total, and for each address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from common.ip_networks import LOOPBACK, IpNetworks, network_of


class Connection(Protocol):
    """One that is open. Hashable by identity."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered; one may be arriving."""

    def end(self) -> None:
        """Ends the connection."""


@frozen(kw_only=True)
class ConnectionLimits:
    """How many connections may be open. `per_address` does not hold for `proxies`.

    `client_of` returns what counts as one address: an IPv6 client usually has a network of 64 bits to itself.
    """

    total: int = 2000
    per_address: int = 200
    proxies: IpNetworks = LOOPBACK
    client_of: Callable[[str], str] = network_of


@define(eq=False)
class OpenConnections:
    """Counts the connections; makes room by ending the oldest one on which no request is being answered."""

    limits: ConnectionLimits
    _clients: dict[Connection, str] = field(factory=dict, init=False)  # in the order of their start
    _counts: Counter[str] = field(factory=Counter, init=False)

    def __len__(self) -> int:
        return len(self._clients)

    def has_room(self, host: str) -> bool:
        """Whether one more from this address may be served; an idle connection is ended for it if need be."""
        client = self.limits.client_of(host)
        if self._counts[client] >= self.limits.per_address and host not in self.limits.proxies:
            return self._end_oldest(lambda other: other == client)
        return len(self._clients) < self.limits.total or self._end_oldest(lambda _: True)

    def add(self, connection: Connection, host: str) -> None:
        client = self.limits.client_of(host)
        self._clients[connection] = client
        self._counts[client] += 1

    def remove(self, connection: Connection) -> None:
        """Idempotent."""
        client = self._clients.pop(connection, None)
        if client is not None:
            self._counts -= Counter((client,))  # drops a count of 0

    def end_all(self) -> None:
        for one in tuple(self._clients):
            one.end()

    def _end_oldest(self, matches: Callable[[str], bool]) -> bool:
        oldest = next((one for one, client in self._clients.items() if matches(client) and one.is_idle), None)
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.end()
        return True
