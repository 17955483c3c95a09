"""Rate-limits repeated log messages and events."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class RateLimiter:
    """Allows each key once per `every_s` seconds. Tracks the `size` keys allowed most recently.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, *, every_s: float, size: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._size = size
        self._clock = clock
        self._allowed_at: OrderedDict[Hashable, float] = OrderedDict()

    def allow(self, *key: Hashable) -> bool:
        """Returns whether `key` is allowed now. If so, the next `every_s` seconds return False."""
        now = self._clock()
        allowed_at = self._allowed_at.get(key)
        if allowed_at is not None and now - allowed_at < self._every_s:
            return False
        self._allowed_at[key] = now
        self._allowed_at.move_to_end(key)
        if len(self._allowed_at) > self._size:
            self._allowed_at.popitem(last=False)
        return True
