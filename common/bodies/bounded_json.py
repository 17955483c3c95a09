"""JSON that others have sent: counted before it takes memory and time."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

# What one of this size takes of an event loop: about 20 ms. Of all JSON, `{}` takes most for its size.
MAX_VALUES = 100_000
MAX_DEPTH = 100
_SLICE_BYTES, _SLICE_VALUES, _PER_OBJECT = 256 * 1024, 20_000, 50
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


class TooMuchJson(ValueError):
    """The JSON has more values, or is nested deeper, than permitted; the message says how many."""


def loads(body: bytes, *, max_values: int = MAX_VALUES, in_thread: bool = False) -> Any:
    """Returns the value. Raises TooMuchJson, or ValueError for what is no JSON, such as NaN.

    `max_values` counts all inner values. More than MAX_VALUES are for a process of their own, or for a thread: with
    `in_thread`, other threads get their turn at each object, and lists without objects have at most MAX_VALUES. A body
    of UTF-16 or UTF-32 is no JSON here: its values could not be counted.
    """
    slices = (body[at : at + _SLICE_BYTES] for at in range(0, len(body), _SLICE_BYTES))  # between which others run
    values = 1 + sum(map(_marks, slices))  # at most: texts may have some
    if in_thread and values > MAX_VALUES and (values > max_values or _may_hold_lock(body)):
        _check_structure(body, max_values)
    elif values > max_values:
        raise TooMuchJson(f"about {values} values; the limit is {max_values}")
    hook = _same if in_thread else None
    try:
        found = json.loads(
            body.decode("utf-8-sig"), parse_constant=_no_constant, parse_float=_finite, object_hook=hook
        )  # fmt: skip
    except RecursionError:
        raise TooMuchJson(f"more than {MAX_DEPTH} levels of lists and objects") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(found)
    return found


def _marks(text: bytes) -> int:
    """Returns how many values of JSON begin in it, if it has no texts."""
    return sum(map(text.count, (b",", b"[", b"{")))


def _may_hold_lock(body: bytes) -> bool:
    """Returns whether a slice has many values and few objects. Texts that others may write can look so, too."""
    slices = (body[at : at + _SLICE_BYTES] for at in range(0, len(body), _SLICE_BYTES))
    return any((values := _marks(one)) > _SLICE_VALUES and one.count(b"{") * _PER_OBJECT < values for one in slices)


def _check_structure(body: bytes, max_values: int) -> None:
    """Counts the values outside of texts, ten times as slowly. Raises TooMuchJson."""
    values, run = 1, 0
    for outside in _outside_texts(body):
        first, *others = outside.split(b"{")
        run += _marks(first)
        longest = run
        for part in others:
            run = _marks(part)
            longest = max(longest, run)
        values += _marks(outside)
        if longest > MAX_VALUES:
            raise TooMuchJson(f"lists of more than {MAX_VALUES} values without an object")
        if values > max_values:
            raise TooMuchJson(f"more than {max_values} values")


def _outside_texts(body: bytes) -> Iterator[bytes]:
    """Yields what is between the texts, in slices."""
    end = 0
    for at, after in chain((one.span() for one in _TEXT.finditer(body)), [(len(body), 0)]):
        for begin in range(end, at, _SLICE_BYTES):
            yield body[begin : min(begin + _SLICE_BYTES, at)]
        end = after


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


def _same(found: dict[str, Any]) -> dict[str, Any]:
    """Python gives its lock away at the beginning of a function; the parser itself keeps it to its end."""
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(f"{text[:40]} is no number that fits")
    return found
