"""What is stored with the operations of machines."""

from __future__ import annotations

from typing import Any

from common.values import GuestSpec
from common.wire import to_plain

MAX_FAILURES = 120  # with the longest pause of half a minute, an hour of trying


def request_of(spec: GuestSpec, **more: Any) -> dict[str, Any]:
    """What is stored with an operation: the spec as plain data."""
    return {"spec": to_plain(spec), **more}
