"""JSON of others is refused by its number of values and its depth before it takes memory and time."""

from __future__ import annotations

import json
import time

import pytest

from common.bounded_json import MAX_DEPTH, MAX_VALUES, TooMuchJson, loads


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "ü"]}, [], "x", 10**30, {"a": {"b": [{}]}}])
def test_a_value_is_read_as_it_was_written(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value


@pytest.mark.parametrize("unit", [b"{},", b"[],", b"1,", b'{"a":1},', b"[[],{}],"])
def test_more_values_than_permitted_are_refused_before_they_are_parsed(unit: bytes) -> None:
    body = b"[" + unit * (16 * 2**20 // len(unit)) + b"0]"
    began = time.thread_time()
    with pytest.raises(TooMuchJson, match=rf"values; the limit is {MAX_VALUES}"):
        loads(body)
    assert time.thread_time() - began < 1.0  # three runs of memchr; parsed, they take two seconds and a GB


@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_has_a_limit(begin: bytes, end: bytes) -> None:
    deepest = begin * MAX_DEPTH + b"0" + end * MAX_DEPTH
    assert loads(deepest)
    for depth in (MAX_DEPTH + 2, 900, 50_000):
        with pytest.raises(TooMuchJson, match=f"more than {MAX_DEPTH} levels"):
            loads(begin * depth + b"0" + end * depth)


@pytest.mark.parametrize(
    "body", [b"NaN", b"-Infinity", b"1e999", b"1" * 5000, b"[1", b"", b"\xff", "1".encode("utf-16")]
)
def test_what_is_no_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(body)
