"""Rates per key, in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from attrs import define

MAX_KEYS = 20_000


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
