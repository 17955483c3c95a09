"""Limits failed logins of each address and account: after five, each further one doubles the delay. Pure.

An attempt counts as failed until it succeeds, so concurrent attempts cannot exceed the limit. The counts are of one
region process: with several regions behind one address, the limit is that of each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from attrs import define, frozen

from common.addresses.ip_networks import NO_NETWORKS, IpNetworks, network_of
from common.errors import TooManyAttempts

FREE_FAILURES = 5
FIRST_DELAY_S = 2.0
MAX_DELAY_S = 900.0
FORGOTTEN_AFTER_S = 3600.0
_MAX_TRACKED = 20_000
MAX_NAME_CHARS = 255


@define
class _Failures:
    number: int = 0
    last_at: float = 0.0


@frozen(kw_only=True)
class Attempt:
    """A login that has begun: the keys under which it counts."""

    username: str
    network: str
    keys: tuple[Hashable, ...]


class LoginLimits:
    """`clock` is monotonic, in seconds. Logins from `exempt` addresses count only for their account."""

    def __init__(self, clock: Callable[[], float], exempt: IpNetworks = NO_NETWORKS) -> None:
        self._clock = clock
        self.exempt = exempt
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()
        self._used: OrderedDict[Hashable, None] = OrderedDict()  # accounts with the networks that logged in as them

    def begin(self, *, address: str, username: str) -> Attempt:
        """Counts an attempt. Raises TooManyAttempts, and does not count it, before the delay has passed.

        A network that has logged in as this account before counts apart from the others: failures elsewhere cannot keep
        its user out.
        """
        network = network_of(address)
        username = username[:MAX_NAME_CHARS]  # what a stranger sends is kept for an hour
        used = ("account from", username, network)
        keys: list[Hashable] = [used if used in self._used else ("account", username)]
        if address not in self.exempt:
            keys.append(("address", network))
        wait_s = max(self._wait_s(key) for key in keys)
        if wait_s > 0:
            seconds = int(wait_s) + 1
            raise TooManyAttempts(
                f"Too many failed logins from {address}, or as this user. Try again in {seconds} s.",
                retry_after_s=seconds,
            )
        for key in keys:
            failures = self._failures.setdefault(key, _Failures())
            failures.number += 1
            failures.last_at = self._clock()
            self._failures.move_to_end(key)
        while len(self._failures) > _MAX_TRACKED:
            self._failures.popitem(last=False)
        return Attempt(username=username, network=network, keys=tuple(keys))

    def succeed(self, attempt: Attempt) -> None:
        """Forgets the account's failures. Those of the address remain: it may guess passwords of other accounts."""
        used = ("account from", attempt.username, attempt.network)
        for key in attempt.keys:
            if key == ("address", attempt.network):
                self._take_back(key)
            else:
                self._failures.pop(key, None)
        self._used[used] = None
        self._used.move_to_end(used)
        if len(self._used) > _MAX_TRACKED:
            self._used.popitem(last=False)

    def _take_back(self, key: Hashable) -> None:
        failures = self._failures.get(key)
        if failures is not None:
            failures.number -= 1

    def _wait_s(self, key: Hashable) -> float:
        failures = self._failures.get(key)
        if failures is None:
            return 0.0
        passed_s = self._clock() - failures.last_at
        if passed_s >= FORGOTTEN_AFTER_S:
            del self._failures[key]
            return 0.0
        if failures.number < FREE_FAILURES:
            return 0.0
        doublings = min(failures.number - FREE_FAILURES, 20)
        return min(FIRST_DELAY_S * 2.0**doublings, MAX_DELAY_S) - passed_s
