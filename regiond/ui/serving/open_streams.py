"""Limits how many streams of pages an account has open: each holds a connection while its page is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from common.errors import TooManyAttempts
from regiond.caller import Caller

MAX_PER_ACCOUNT = 20  # of one region, over all sessions of the account: it may have a hundred of them
RETRY_S = 30


class OpenStreams:
    """One per region."""

    def __init__(self) -> None:
        self._of: Counter[int] = Counter()

    @contextmanager
    def place(self, caller: Caller) -> Iterator[None]:
        """Counts one more until the block ends. Raises TooManyAttempts if the account has too many."""
        if self._of[caller.account_id] >= MAX_PER_ACCOUNT:
            raise TooManyAttempts(
                f"{caller.username} has {MAX_PER_ACCOUNT} live pages open at this region, which is the limit. Close "
                "some; this page is refreshed now and then.",
                retry_after_s=RETRY_S,
            )
        self._of[caller.account_id] += 1
        try:
            yield
        finally:
            self._of -= Counter((caller.account_id,))  # drops a count of 0
