"""The limits of the open consoles of a region: their number and their duration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from common.errors import Busy
from common.words.phrases import number_of


@frozen(kw_only=True)
class ConsoleLimits:
    """The limits of a region. A console ends `idle_s` after the last input, and `longest_s` after it was opened."""

    per_account: int = 8
    total: int = 100
    idle_s: float = 1800.0
    longest_s: float = 8 * 3600.0
    check_every_s: float = 15.0  # how often these times, and the permission of the user, are checked


DEFAULT_LIMITS = ConsoleLimits()


class OpenConsoles:
    """Counts the open consoles."""

    def __init__(self, limits: ConsoleLimits) -> None:
        self._limits = limits
        self._of: Counter[int] = Counter()

    @contextmanager
    def place(self, account_id: int) -> Iterator[None]:
        """Counts one more until the block ends. Raises Busy beyond a limit."""
        if self._of[account_id] >= self._limits.per_account:
            raise Busy(
                f"You have {number_of(self._limits.per_account, 'console')} open, which is the limit. Close one."
            )
        if self._of.total() >= self._limits.total:
            raise Busy(f"This region has {number_of(self._limits.total, 'console')} open, which is its limit.")
        self._of[account_id] += 1
        try:
            yield
        finally:
            self._of -= Counter((account_id,))  # drops a count of 0
