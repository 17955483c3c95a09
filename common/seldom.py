"""So that what happens a thousand times is told once in a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable


class Seldom:
    """Remembers the `size` things told last. Times are of a clock that only goes forward."""

    def __init__(self, *, every_s: float, size: int = 10_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._size = size
        self._clock = clock
        self._told_at: OrderedDict[Hashable, float] = OrderedDict()

    def may(self, *what: Hashable) -> bool:
        """Whether it is time to tell of `what`; it counts as told then."""
        now = self._clock()
        told_at = self._told_at.get(what)
        if told_at is not None and now - told_at < self._every_s:
            return False
        self._told_at[what] = now
        self._told_at.move_to_end(what)
        if len(self._told_at) > self._size:
            self._told_at.popitem(last=False)
        return True
