"""Limits how many requests of one account, and of one address behind a proxy, are answered at once.

Each request holds a connection. It may wait two minutes for its operation, or half an hour for a slow client.
"""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from common.addresses.ip_networks import network_of
from common.errors import TooManyAttempts
from regiond.caller import Caller

RETRY_S = 5
_SETTING = "the region's setting http_connections_per_address"


@define(eq=False)
class Place:
    """The counts that one request holds, until its answer and its work, each of which calls `enter`, have both left."""

    _inside: int = field(default=0, init=False)
    _taken: list[tuple[Counter[object], object]] = field(factory=list, init=False)

    def enter(self) -> None:
        self._inside += 1

    def leave(self) -> None:
        self._inside -= 1
        while self._taken and not self._inside:
            counts, key = self._taken.pop()
            counts -= Counter((key,))  # drops a count of 0

    def take(self, counts: Counter[object], key: object) -> None:
        """Counts one more request of the key, unless the answer and the work have left already."""
        if self._inside:
            counts[key] += 1
            self._taken.append((counts, key))


class OpenRequests:
    """The open requests of a region. Each method raises TooManyAttempts, which names the setting."""

    def __init__(self, most: int = 200) -> None:
        """`most` is the limit for each account and each address."""
        self._most = most
        self._accounts: Counter[object] = Counter()
        self._addresses: Counter[object] = Counter()

    def take_account(self, place: Place, caller: Caller) -> None:
        """Counts a request of the account."""
        self._take(place, self._accounts, caller.account_id, f"the account {caller.username!r}")

    def take_address(self, place: Place, address: str) -> None:
        """Counts a request of a client that a proxy names, whose connections are those of the proxy."""
        self._take(place, self._addresses, network_of(address), f"the address {address}")

    def _take(self, place: Place, counts: Counter[object], key: object, who: str) -> None:
        if counts[key] >= self._most:
            raise TooManyAttempts(
                f"Too many requests at once: {who} may have {self._most} that are being answered ({_SETTING}). Try "
                f"again in {RETRY_S} s.",
                retry_after_s=RETRY_S,
            )
        place.take(counts, key)
