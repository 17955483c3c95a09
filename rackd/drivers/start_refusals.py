"""The reasons why a guest starts with other sizes, or in another order, than it was asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum

from attrs import define, field

MAX_REASON = 1000  # characters: a hypervisor's text can be longer


class StartChange(Enum):
    """A change that is made before a start, which does not depend on it."""

    SIZE = "size"
    DISK = "disk"
    BOOT = "boot"


@define
class StartRefusals:
    """The reasons of one power action, in the order in which they were met."""

    _found: list[tuple[StartChange, str]] = field(factory=list)

    def add(self, change: StartChange, reason: str) -> None:
        self._found.append((change, reason[:MAX_REASON]))

    def of(self, change: StartChange) -> tuple[str, ...]:
        return tuple(reason for one, reason in self._found if one is change)


# A driver works in one thread for one call; its `power` returns the state only, which all callers but one want.
_current: ContextVar[StartRefusals | None] = ContextVar("start_refusals", default=None)


@contextmanager
def start_refusals() -> Iterator[StartRefusals]:
    """Collects what is refused in this context."""
    found = StartRefusals()
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def refused(change: StartChange, error: Exception) -> None:
    """Notes the reason, if somebody collects reasons."""
    current = _current.get()
    if current is not None:
        current.add(change, str(error) or type(error).__name__)
