"""Limits how many connections a port has open: in total, and for each address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from common.addresses.ip_networks import LOOPBACK, IpNetworks, network_of

_PROXIES = "proxies"  # no address


class Connection(Protocol):
    """An open connection. Hashable by identity."""

    @property
    def is_idle(self) -> bool:
        """True while no request is being answered; one may be arriving."""

    @property
    def is_refused(self) -> bool:
        """True while a refusal of its request is delayed."""

    def end(self) -> None:
        """Ends the connection."""


@frozen(kw_only=True)
class ConnectionLimits:
    """Limits of the open connections. `per_address` does not hold for `proxies`, which share nine tenths of `total`.

    `client_of` returns what counts as one address: an IPv6 client usually has a network of 64 bits to itself.
    """

    total: int = 2000
    per_address: int = 200
    proxies: IpNetworks = LOOPBACK
    client_of: Callable[[str], str] = network_of

    @property
    def for_proxies(self) -> int:
        """The others are for clients that connect directly: any local user can connect as a proxy of this computer."""
        return self.total - self.total // 10


@define(eq=False)
class OpenConnections:
    """Counts the connections; makes room by ending the oldest one on which no request is being answered."""

    limits: ConnectionLimits
    _clients: dict[Connection, str] = field(factory=dict, init=False)  # in the order of their start
    _counts: Counter[str] = field(factory=Counter, init=False)

    def __len__(self) -> int:
        return len(self._clients)

    def has_room(self, host: str) -> bool:
        """Returns whether one more from this address may be served; ends an idle connection for it if necessary."""
        client = self._client(host)
        most = self.limits.for_proxies if client == _PROXIES else self.limits.per_address
        if self._counts[client] >= most:
            return self._end_oldest(client)
        return len(self._clients) < self.limits.total or self._end_oldest(None)

    def add(self, connection: Connection, host: str) -> None:
        client = self._client(host)
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

    def _client(self, host: str) -> str:
        return _PROXIES if host in self.limits.proxies else self.limits.client_of(host)

    def _end_oldest(self, of: str | None) -> bool:
        """Ends the oldest idle or refused connection, for one address only an idle one. Returns whether any was."""
        waits = of is not None and of != _PROXIES
        oldest = next(
            (
                one
                for one, client in self._clients.items()
                if of in {None, client} and (one.is_idle or (one.is_refused and not waits))
            ),
            None,
        )
        if oldest is None:
            return False
        self.remove(oldest)
        oldest.end()
        return True
