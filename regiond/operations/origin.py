"""The request that opened an operation: its id in the log, and its span if it was traced.

Both are in the column `request_id`, since any region may run the operation, at any later time.
"""

from __future__ import annotations

from attrs import frozen
from structlog.contextvars import get_contextvars

from common.tracing.spans import current_traceparent


@frozen(kw_only=True)
class Origin:
    """`request_id` is None if no request opened the operation; `traceparent` is empty if nothing was traced."""

    request_id: str | None = None
    traceparent: str = ""

    @classmethod
    def current(cls) -> Origin:
        """Returns the request that is being served, or the one that opened the operation that runs."""
        return cls(request_id=get_contextvars().get("request_id"), traceparent=current_traceparent())

    @classmethod
    def read(cls, stored: str | None) -> Origin:
        """Returns what `stored` was made of."""
        request_id, _, traceparent = (stored or "").partition(" ")
        return cls(request_id=request_id or None, traceparent=traceparent)

    @property
    def stored(self) -> str | None:
        """The text for the database: `ID`, or `ID TRACEPARENT`; an id has no spaces."""
        if not self.traceparent:
            return self.request_id
        return f"{self.request_id or ''} {self.traceparent}"


def current_origin() -> str | None:
    """Returns the request of `Origin.current`, as it is stored."""
    return Origin.current().stored
