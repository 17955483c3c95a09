"""A clock that the test sets."""

from __future__ import annotations

from attrs import define


@define
class Clock:
    """Stands for `time.monotonic`: returns `now`, in seconds."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
