"""Finds the request that opens an operation: its id in the log, and its span if it is traced."""

from __future__ import annotations

from structlog.contextvars import get_contextvars

from common.tracing.spans import current_traceparent
from regiond.operations.model import Origin


def current_origin() -> Origin:
    """Returns the request that is being served, or the one that opened the operation that runs."""
    return Origin(request_id=get_contextvars().get("request_id"), traceparent=current_traceparent() or None)
