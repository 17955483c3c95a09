"""Limits of requests per second and at once, of each account and of each address without a valid key.

The counts are of one region process: with several regions behind one address, the limit is that of each.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable

from attrs import define, field, frozen

from common.addresses.ip_networks import NO_NETWORKS, IpNetworks, network_of
from common.errors import TooManyAttempts
from regiond.requests.caller import Caller

MAX_KEYS = 20_000  # of what is counted, the most that are remembered
BURST_S = 10.0  # the capacity of a bucket, in seconds of its rate
LONG_BODY_BYTES_PER_S = 4 * 1024 * 1024  # for one account; parsing as much takes the region about 30 ms
OPEN_RETRY_S = 5
_OPEN_SETTING = "the region's setting http_connections_per_address"


@define
class _Bucket:
    tokens: float
    filled_at: float


class TokenBuckets:
    """A bucket of `burst` tokens for each key, refilled with `per_s` tokens a second.

    Remembers the `size` keys used most recently; a forgotten one has a full bucket. `clock` is monotonic, in seconds.
    """

    def __init__(
        self, *, per_s: float, burst: float, size: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_s = per_s
        self._burst = burst
        self._size = size
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def change(self, *, per_s: float, burst: float) -> None:
        """Changes the rate. Buckets keep what they have, up to the new burst."""
        self._per_s, self._burst = per_s, burst

    def take(self, key: Hashable, amount: float = 1) -> float:
        """Takes tokens, at most `burst`, and returns 0. Without them, takes nothing and returns the seconds until there
        are enough.
        """
        bucket = self._filled(key)
        if bucket.tokens < amount:
            return (amount - bucket.tokens) / self._per_s
        bucket.tokens -= amount
        return 0.0

    def put_back(self, key: Hashable, amount: float = 1) -> None:
        """Returns tokens that were taken, up to a full bucket."""
        if key in self._buckets:
            bucket = self._filled(key)
            bucket.tokens = min(self._burst, bucket.tokens + amount)

    def wait_s(self, key: Hashable) -> float:
        """Returns the seconds that `take` would return for one token; takes nothing."""
        return 0.0 if key not in self._buckets else max(0.0, (1 - self._filled(key).tokens) / self._per_s)

    def _filled(self, key: Hashable) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(self._burst, now))
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._per_s)
        bucket.filled_at = now
        return bucket


@frozen(kw_only=True)
class RequestRates:
    """Limits per second, named like the settings: far above what 100 machines under Juju or Terraform cause."""

    requests_per_s: int = 500
    expensive_requests_per_s: int = 100
    anonymous_requests_per_s: int = 50


class RequestLimits:
    """Token buckets. Each method raises TooManyAttempts, which names the setting and says when to try again.

    Requests from `exempt` addresses are never counted. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        rates: RequestRates = RequestRates(),
        *,
        exempt: IpNetworks = NO_NETWORKS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        def buckets(per_s: float) -> TokenBuckets:
            return TokenBuckets(per_s=per_s, burst=per_s * BURST_S, clock=clock)

        self._rates = rates
        self._exempt = exempt
        self._accounts = buckets(rates.requests_per_s)
        self._expensive = buckets(rates.expensive_requests_per_s)
        self._long_bodies = buckets(LONG_BODY_BYTES_PER_S)
        self._unproven_bodies = buckets(LONG_BODY_BYTES_PER_S)
        self._clients = buckets(rates.requests_per_s)
        self._addresses = buckets(rates.anonymous_requests_per_s)
        self._known_keys: OrderedDict[str, None] = OrderedDict()

    def change(self, rates: RequestRates, *, exempt: IpNetworks) -> None:
        """Changes the rates and the exempt addresses. What was counted stays."""
        self._rates, self._exempt = rates, exempt
        for buckets, per_s in (
            (self._accounts, rates.requests_per_s),
            (self._expensive, rates.expensive_requests_per_s),
            (self._clients, rates.requests_per_s),
            (self._addresses, rates.anonymous_requests_per_s),
        ):
            buckets.change(per_s=per_s, burst=per_s * BURST_S)

    def take(self, caller: Caller, address: str | None = None) -> None:
        """Counts a request of the account."""
        if address not in self._exempt:
            wait_s = self._accounts.take(caller.account_id)
            _require(wait_s, _of(caller), "requests", self._rates.requests_per_s, "requests_per_s")

    def take_expensive(self, caller: Caller, address: str | None = None) -> None:
        """Counts a request that costs much more than others; `take` has counted it too."""
        if address not in self._exempt:
            wait_s, rate = self._expensive.take(caller.account_id), self._rates.expensive_requests_per_s
            _require(wait_s, _of(caller), "composes, refreshes and the like", rate, "expensive_requests_per_s")

    def take_long_body(self, caller: Caller, address: str, size_bytes: int) -> None:
        """Counts a body that is about to be read, as at most the capacity of a bucket."""
        if address not in self._exempt:
            _require_bytes(self._long_bodies.take(caller.account_id, size_bytes), _of(caller))

    def take_unproven_body(self, address: str, size_bytes: int) -> None:
        """Counts a body that is about to be read for its address: only a verified signature proves the sender.

        The request names a key, but anyone who has seen a request with that key can name it.
        """
        if address not in self._exempt:
            _require_bytes(self._unproven_bodies.take(network_of(address), size_bytes), f"the address {address}")

    def prove_body(self, caller: Caller, address: str, size_bytes: int, *, counted_bytes: int) -> None:
        """Counts a body for the account that has signed it, and no longer for its address.

        `counted_bytes` are what `take_unproven_body` has counted: more than the body has, if its length was not known.
        """
        if address not in self._exempt:
            self._unproven_bodies.put_back(network_of(address), counted_bytes)
            self.take_long_body(caller, address, size_bytes)

    def take_client(self, client_id: str) -> None:
        """Counts a call of an RPC client, before its account is read."""
        wait_s, rate = self._clients.take(client_id), self._rates.requests_per_s
        _require(wait_s, f"the RPC client {client_id}", "calls", rate, "requests_per_s")

    def take_anonymous(self, address: str) -> None:
        """Counts a request without a valid key."""
        if address not in self._exempt:
            self._require_address(address, self._addresses.take(network_of(address)))

    def check_key(self, address: str, token_key: str) -> None:
        """Rejects an address that guesses keys before its key is looked up: it must not keep the database busy.

        A key that was valid before is not rejected: others may guess keys from the address of its user. Counts nothing.
        """
        if address not in self._exempt and token_key not in self._known_keys:
            self._require_address(address, self._addresses.wait_s(network_of(address)))

    def remember_key(self, token_key: str) -> None:
        """Remembers a valid key, which `check_key` then accepts from any address."""
        self._known_keys[token_key] = None
        self._known_keys.move_to_end(token_key)
        if len(self._known_keys) > MAX_KEYS:
            self._known_keys.popitem(last=False)

    def _require_address(self, address: str, wait_s: float) -> None:
        rate, setting = self._rates.anonymous_requests_per_s, "anonymous_requests_per_s"
        _require(wait_s, f"the address {address}", "requests without a valid API key", rate, setting)


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
    """Limits how many requests of one account, and of one address behind a proxy, are answered at once. One per region.

    Each request holds a connection. It may wait two minutes for its operation, or half an hour for a slow client.
    Each method raises TooManyAttempts, which names the setting.
    """

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
                f"Too many requests at once: {who} may have {self._most} that are being answered ({_OPEN_SETTING}). "
                f"Try again in {OPEN_RETRY_S} s.",
                retry_after_s=OPEN_RETRY_S,
            )
        place.take(counts, key)


def _of(caller: Caller) -> str:
    return f"the account {caller.username!r}"


def _require_bytes(wait_s: float, who: str) -> None:
    if wait_s > 0:
        seconds = math.ceil(wait_s)
        raise TooManyAttempts(
            f"Too many long bodies: {who} may send {LONG_BODY_BYTES_PER_S // 1024**2} MiB per second in them, on "
            f"average over {BURST_S:.0f} s. Try again in {seconds} s.",
            retry_after_s=seconds,
        )


def _require(wait_s: float, who: str, what: str, rate: int, setting: str) -> None:
    if wait_s > 0:
        seconds = math.ceil(wait_s)
        raise TooManyAttempts(
            f"Too many requests: {who} may send {rate} {what} per second (the region's setting {setting}). Try again "
            f"in {seconds} s.",
            retry_after_s=seconds,
        )
