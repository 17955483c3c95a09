"""Limits failed logins of each address and account: after five, each further one doubles the delay. Pure.

An attempt counts as failed until it succeeds, so concurrent attempts cannot exceed the limit. The counts are of one
region process: with several regions behind one address, the limit is that of each.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address

from attrs import define, frozen

from common.errors import TooManyAttempts

FREE_FAILURES = 5
FIRST_DELAY_S = 2.0
MAX_DELAY_S = 900.0
FORGOTTEN_AFTER_S = 3600.0
_MAX_TRACKED = 20_000


@define
class _Failures:
    number: int = 0
    last_at: float = 0.0


@frozen
class Attempt:
    """A login that has begun: the keys under which it counts."""

    keys: tuple[Hashable, ...]


class LoginLimits:
    """`clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()

    def begin(self, *, address: str, username: str) -> Attempt:
        """Counts an attempt. Raises TooManyAttempts, and does not count it, before the delay has passed."""
        keys = (("address", network_of(address)), ("account", username))
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
        return Attempt(keys)

    def succeed(self, attempt: Attempt) -> None:
        """Forgets the account's failures. Those of the address remain: it may guess passwords of other accounts."""
        address, account = attempt.keys
        self._failures.pop(account, None)
        failures = self._failures.get(address)
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


def network_of(address: str) -> str:
    """An IPv6 client has a network of 64 bits, whose addresses count together."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped is not None else str(IPv6Address(int(parsed) >> 64 << 64))
