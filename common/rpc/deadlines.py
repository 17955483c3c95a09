"""Deadlines by key, the earliest found in constant time."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Deadlines(Generic[K]):
    """Deadlines are seconds of the caller's clock. Removed keys are purged from the heap now and then."""

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._at)

    @property
    def stored_entries(self) -> int:
        """Entries in memory, including removed ones that are not purged yet."""
        return len(self._heap)

    def set(self, key: K, at: float) -> None:
        self._at[key] = at
        self._order += 1
        heapq.heappush(self._heap, (at, self._order, key))

    def remove(self, key: K) -> None:
        """Removes a deadline. Idempotent."""
        self._at.pop(key, None)
        if len(self._heap) > 64 + 2 * len(self._at):
            self._heap = [entry for entry in self._heap if self._is_current(entry)]
            heapq.heapify(self._heap)

    def next_at(self) -> float | None:
        while self._heap and not self._is_current(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> list[K]:
        """Removes and returns the keys that are due, earliest first."""
        due: list[K] = []
        while (at := self.next_at()) is not None and at <= now:
            key = heapq.heappop(self._heap)[2]
            del self._at[key]
            due.append(key)
        return due

    def _is_current(self, entry: tuple[float, int, K]) -> bool:
        return self._at.get(entry[2]) == entry[0]
