"""The trace that running code belongs to: a context variable, which tasks and the rack's threads inherit."""

from __future__ import annotations

from contextvars import ContextVar

from tests.faults.matrix.points import Side
from tests.faults.matrix.trace import Trace

NOT_COUNTED = ("connect",)  # whether a connection exists already is chance

traced: ContextVar[tuple[Trace, str] | None] = ContextVar("traced", default=None)  # with the prefix of its points


def current_trace() -> tuple[Trace, str] | None:
    """The trace that the calling code belongs to, and the label prefix of its points."""
    found = traced.get()
    return None if found is None or found[0].ended else found


def host_call(what: str, side: Side) -> None:
    """Crosses the point before or after a call to a host, in a thread of the rack."""
    if (found := current_trace()) is not None and what not in NOT_COUNTED:
        found[0].cross_in_thread(found[1], what, side)
