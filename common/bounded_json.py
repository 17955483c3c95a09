"""JSON that others have sent: counted before it takes memory and time."""

from __future__ import annotations

import json
import math
from typing import Any

# What one of this size takes of an event loop: about 20 ms. Of all JSON, `{}` takes most for its size.
MAX_VALUES = 100_000
MAX_DEPTH = 100


class TooMuchJson(ValueError):
    """The JSON has more values, or is nested deeper, than permitted; the message says how many."""


def loads(body: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Returns the value. Raises TooMuchJson, or ValueError for what is no JSON, such as NaN.

    `max_values` counts all inner values; those of more than MAX_VALUES are for a process of their own. A body of UTF-16
    or UTF-32 is no JSON here: its values could not be counted.
    """
    values = 1 + sum(map(body.count, (b",", b"[", b"{")))  # at most
    if values > max_values:
        raise TooMuchJson(f"about {values} values; the limit is {max_values}")
    try:
        found = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise TooMuchJson(f"more than {MAX_DEPTH} levels of lists and objects") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(found)
    return found


def _check_depth(found: Any) -> None:
    """Others walk through values by recursion."""
    level = [found]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise TooMuchJson(f"more than {MAX_DEPTH} levels of lists and objects")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text[:40]} is no number that fits")
    return found
