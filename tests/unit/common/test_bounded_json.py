"""JSON of others is refused by its number of values and its depth before it takes memory and time."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from common.bodies.bounded_json import MAX_DEPTH, MAX_VALUES, TooMuchJson, loads
from tests.support.loop_pauses import LONGEST_S, watched_loop


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


@pytest.mark.parametrize(
    ("unit", "problem"),
    [
        (b"{},", "more than 1000000 values"),
        (b"[],", "lists of more than 100000 values without an object"),
        (b'"",', "lists of more than 100000 values without an object"),
        (b'{"a":"b"},', "more than 1000000 values"),
    ],
)
async def test_a_thread_that_parses_gives_others_their_turn(unit: bytes, problem: str) -> None:
    many = b"[" + unit * (2**24 // len(unit)) + b"0]"
    async with watched_loop() as pauses:
        with pytest.raises(TooMuchJson, match=problem):
            await asyncio.to_thread(loads, many, max_values=1_000_000, in_thread=True)
    assert pauses.longest_s < LONGEST_S


async def test_what_a_thread_parses_may_have_many_objects() -> None:
    guests = [{"name": f"vm-{number}", "config": {"a": "b"}, "devices": [{"type": "nic"}]} for number in range(50_000)]
    body = json.dumps(guests).encode()
    async with watched_loop() as pauses:
        assert await asyncio.to_thread(loads, body, max_values=1_000_000, in_thread=True) == guests
    assert pauses.longest_s < LONGEST_S


def test_commas_and_brackets_of_texts_are_no_values_in_a_thread() -> None:
    guests = [{"user-data": "[{," * 200_000 + '\\"[' * 100_000}] * 4
    assert loads(json.dumps(guests).encode(), max_values=1000, in_thread=True) == guests
