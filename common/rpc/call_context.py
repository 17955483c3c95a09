"""The ids that calls carry to join the log lines and traces of both ends: request, operation, call, span.

Nothing but the log and the traces use them: a peer can send any values.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from structlog.contextvars import get_contextvars

from common.trust.certificates import Role

CallContext = Mapping[str, str | int]

REQUEST_ID, CALL_ID = "request_id", "call_id"
TRACEPARENT = "traceparent"  # of W3C Trace Context; not for the log
_FROM_REGIONS = frozenset({REQUEST_ID, CALL_ID, "operation", "attempt"})
_FROM_OTHERS = frozenset({REQUEST_ID, CALL_ID})  # only a region has operations
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_MAX_NUMBER = 2**63


def current_context(traceparent: str = "") -> CallContext:
    """Returns what a call made here carries: the ids bound to the log, a new id of the call, and its span if any."""
    bound = get_contextvars()
    sent = {key: bound[key] for key in _FROM_REGIONS if key in bound}
    traced = {TRACEPARENT: traceparent} if traceparent else {}
    return {**_valid(sent), CALL_ID: secrets.token_hex(6), **traced}


def accepted_context(role: Role, received: Mapping[Any, Any]) -> CallContext:
    """Returns the ids to bind to the log while a call of this peer is served; without those that it may not set.

    A call of an RPC client always has a request id.
    """
    allowed = _FROM_REGIONS if role is Role.REGION else _FROM_OTHERS
    found = _valid({key: value for key, value in received.items() if key in allowed})
    return {REQUEST_ID: uuid4().hex, **found} if role is Role.CLIENT else found


def traceparent_of(received: Mapping[Any, Any]) -> str:
    """Returns the span of the caller, in the form that the caller sent; empty without one."""
    found = received.get(TRACEPARENT, "")
    return found if isinstance(found, str) else ""


def _valid(ids: Mapping[Any, Any]) -> dict[str, str | int]:
    return {key: value for key, value in ids.items() if _is_valid(value)}


def _is_valid(value: object) -> bool:
    if isinstance(value, str):
        return _ID.fullmatch(value) is not None
    return type(value) is int and 0 <= value < _MAX_NUMBER
