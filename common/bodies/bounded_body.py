"""Takes a body that others send up to a size and a time: the one place where its parts come together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from attrs import define, field


class TooLarge(Exception):
    """The body has more bytes than were permitted. The message says what it has, as the end of a sentence."""


class TooSlow(Exception):
    """The body has not ended in time. The message is as that of TooLarge."""


@define
class BoundedBody:
    """A body of at most `max_bytes`, whose last part arrives before `ends_at_s` of the clock, however slow the others.

    Whoever waits for parts needs a deadline, too, for a part that never arrives.
    """

    max_bytes: int
    ends_at_s: float = math.inf
    clock: Callable[[], float] = time.monotonic
    # Unlike many small parts, its memory returns to the system as soon as it is freed.
    _content: bytearray = field(factory=bytearray, init=False)

    @property
    def size(self) -> int:
        return len(self._content)

    def take(self, data: bytes) -> None:
        """Adds a part. Raises TooLarge and TooSlow, and keeps nothing then: an error's traceback would keep it."""
        if len(self._content) + len(data) > self.max_bytes:
            self._content.clear()
            raise TooLarge(f"more than {self.max_bytes} bytes")
        if self.clock() > self.ends_at_s:
            size = len(self._content)
            self._content.clear()
            raise TooSlow(f"{size} bytes and no end in time")
        self._content += data

    def clear(self) -> None:
        self._content.clear()

    def content(self) -> bytes:
        return bytes(self._content)
