"""Which objects changed, as PostgreSQL notifies it, for any number of readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from uuid import uuid4

import structlog
from attrs import frozen

from regiond.caller import Caller
from regiond.events.model import Changes

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CHANGED_CHANNEL = "changed"
KEPT = 10_000  # changes that a reader can be behind, or away


@frozen(kw_only=True)
class Change:
    """`topics` name what changed: `hosts`, `host-3`, `vms`, `vm-abc123`, `tasks`, `task-9`."""

    topics: tuple[str, ...]
    pool_ids: frozenset[int]
    account_ids: frozenset[int]

    def is_seen_by(self, caller: Caller) -> bool:
        return caller.is_admin or caller.account_id in self.account_ids or any(map(caller.may_view, self.pool_ids))


def parse_change(payload: str) -> Change:
    """Raises ValueError for a payload that no trigger of ours makes."""
    topics, pools, accounts = payload.split(" ")
    return Change(topics=tuple(topics.split(",")), pool_ids=_ids(pools), account_ids=_ids(accounts))


def _ids(text: str) -> frozenset[int]:
    return frozenset() if text == "-" else frozenset(map(int, text.split(",")))


class ChangeFeed:
    """The last KEPT changes, numbered. Readers have a position and no queue, so that a slow one costs nothing.

    A position is of one process and its connection to the database; at another one a reader starts anew.
    """

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=KEPT)
        self._count = 0  # of all since the epoch
        self._epoch = uuid4().hex[:12]
        self._arrived = asyncio.Event()
        self.is_closed = False
        self.is_interrupted = False

    def receive(self, payload: str) -> None:
        """To be called with each notification."""
        try:
            change = parse_change(payload)
        except ValueError:
            log.warning("change_not_understood", payload=payload[:200])
            return
        self._changes.append(change)
        self._count += 1
        self._wake()

    def resync(self) -> None:
        """To be called when notifications may have been missed: for every reader, all may have changed."""
        self._changes.clear()
        self._count = 0
        self._epoch = uuid4().hex[:12]
        self.is_interrupted = False
        self._wake()

    def interrupt(self) -> None:
        """To be called when notifications no longer arrive: until `resync`, nobody is shown as up to date."""
        self.is_interrupted = True
        self._wake()

    def close(self) -> None:
        """Ends all reads. Idempotent."""
        self.is_closed = True
        self._wake()

    @property
    def position(self) -> str:
        return f"{self._epoch}-{self._count}"

    async def wait(self, position: str, *, timeout_s: float) -> bool:
        """Whether anything changed after the position, once something did, the feed has stopped or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while position == self.position and not (self.is_closed or self.is_interrupted):
                    arrived = self._arrived
                    await arrived.wait()
        except TimeoutError:
            return False
        return True

    def since(self, position: str, caller: Caller) -> Changes:
        """What changed after the position and the caller may know; an unknown position is a gap."""
        missed = self._missed(position)
        if missed is None:
            return Changes(position=self.position, topics=(), is_gap=True)
        topics = dict.fromkeys(topic for change in missed if change.is_seen_by(caller) for topic in change.topics)
        return Changes(position=self.position, topics=tuple(topics))

    def _missed(self, position: str) -> Iterable[Change] | None:
        epoch, _, number = position.partition("-")
        if epoch != self._epoch or not number.isdecimal():
            return None
        behind = self._count - int(number)
        if not 0 <= behind <= len(self._changes):
            return None
        return list(self._changes)[len(self._changes) - behind :]

    def _wake(self) -> None:
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()
