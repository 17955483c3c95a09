"""The feed of changed objects, from PostgreSQL's notifications, for any number of readers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from uuid import uuid4

import structlog
from attrs import frozen

from regiond.events.model import Changes
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CHANGED_CHANNEL = "changed"
KEPT = 10_000  # a reader that misses more changes gets a gap
_ALL = "*"  # all resource pools; as the whole payload: one that would have been too long for PostgreSQL


@frozen(kw_only=True)
class Change:
    """A change of an object. `topics` name it: `hosts`, `host-3`, `vms`, `vm-abc123`, `tasks`, `task-9`.

    With `of_all_pools`, everybody with a role in any resource pool may see it.
    """

    topics: tuple[str, ...]
    pool_ids: frozenset[int]
    account_ids: frozenset[int]
    of_all_pools: bool = False

    def is_seen_by(self, caller: Caller) -> bool:
        if caller.is_admin or caller.account_id in self.account_ids:
            return True
        return bool(caller.grants) if self.of_all_pools else any(map(caller.may_view, self.pool_ids))


def parse_change(payload: str) -> Change:
    """Returns the change that a trigger reports. Raises ValueError for a payload that no trigger of ours sends."""
    topics, pools, accounts = payload.split(" ")
    of_all_pools = pools == _ALL
    return Change(
        topics=tuple(topics.split(",")), pool_ids=frozenset() if of_all_pools else _ids(pools),
        account_ids=_ids(accounts), of_all_pools=of_all_pools,
    )  # fmt: skip


def _ids(text: str) -> frozenset[int]:
    return frozenset() if text == "-" else frozenset(map(int, text.split(",")))


class ChangeFeed:
    """The last KEPT changes, numbered. A reader has a position and no queue, so a slow reader costs nothing.

    A position is valid for one process and its connection to the database; after either ends, a reader gets a gap.
    """

    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=KEPT)
        self._count = 0  # of all changes since the epoch
        self._epoch = uuid4().hex[:12]
        self._arrived = asyncio.Event()
        self.is_closed = False
        self.is_interrupted = False

    def receive(self, payload: str) -> None:
        """Adds the change of a notification; called with each. One that names no change is a gap for every reader."""
        if payload == _ALL:
            self.resync()
            return
        try:
            change = parse_change(payload)
        except ValueError:
            log.warning("change_not_understood", payload=payload[:200])
            return
        self._changes.append(change)
        self._count += 1
        self._wake()

    def resync(self) -> None:
        """Starts a new epoch; called when notifications may have been missed. Every reader gets a gap."""
        self._changes.clear()
        self._count = 0
        self._epoch = uuid4().hex[:12]
        self.is_interrupted = False
        self._wake()

    def interrupt(self) -> None:
        """Records that notifications no longer arrive: until `resync`, no reader is up to date, and none waits."""
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
        """Returns True once anything changes after the position or the feed stops, False when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while position == self.position and not (self.is_closed or self.is_interrupted):
                    arrived = self._arrived
                    await arrived.wait()
        except TimeoutError:
            return False
        return True

    def since(self, position: str, caller: Caller) -> Changes:
        """Returns the changes after the position that the caller may see; an unknown position is a gap."""
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
