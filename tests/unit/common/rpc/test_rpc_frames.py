"""Frames decode to what was encoded; everything else is a protocol error."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.rpc.frames import (
    MAX_CALL_ID,
    MAX_CREDIT,
    MAX_DEADLINE_MS,
    MAX_FRAME_BYTES,
    Call,
    Cancel,
    Credit,
    Done,
    Error,
    Event,
    Frame,
    Hello,
    Item,
    Ping,
    Pong,
    ProtocolError,
    Unsendable,
    clipped,
    decode,
    encode,
)

ids = st.integers(1, MAX_CALL_ID)
names = st.text(max_size=50)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
hellos = st.builds(
    Hello,
    lowest_version=st.integers(0, 9),
    highest_version=st.integers(0, 9),
    role=names,
    name=names,
    capabilities=st.lists(names, max_size=3).map(tuple),
    max_calls=st.integers(1, 1000),
)
frames: st.SearchStrategy[Frame] = st.one_of(
    hellos,
    st.builds(
        Call,
        id=ids,
        method=names,
        left_ms=st.integers(0, MAX_DEADLINE_MS),
        credit=st.integers(0, MAX_CREDIT),
        body=plain,
        context=st.dictionaries(names, st.integers(0, 9) | names, max_size=3),
    ),
    st.builds(Item, id=ids, body=plain),
    st.builds(Done, id=ids, body=plain),
    st.builds(
        Error,
        id=st.integers(0, MAX_CALL_ID),
        code=names,
        message=names,
        details=st.dictionaries(st.text(max_size=8), plain, max_size=3),
    ),
    st.builds(Cancel, id=ids),
    st.builds(Credit, id=ids, amount=st.integers(1, MAX_CREDIT)),
    st.builds(Event, name=names, body=plain),
    st.just(Ping()),
    st.just(Pong()),
)


@given(frames)
def test_every_frame_decodes_to_itself(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_protocol_errors(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@given(st.dictionaries(st.sampled_from(["kind", "id", "body", "method", "left_ms", "details", "amount"]), plain))
def test_random_maps_are_frames_or_protocol_errors(content: dict[str, object]) -> None:
    data = msgpack.packb(content)
    try:
        frame = decode(data)
    except ProtocolError:
        return
    assert decode(encode(frame)) == frame


@given(frames, st.integers(min_value=0), st.integers(0, 255))
def test_a_flipped_byte_gives_a_frame_or_a_protocol_error(frame: Frame, at: int, byte: int) -> None:
    data = bytearray(encode(frame))
    data[at % len(data)] = byte
    with suppress(ProtocolError):
        decode(bytes(data))


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"kind": "shout"},
        {"kind": ["call"]},
        {"kind": "cancel", "id": 0},
        {"kind": "cancel", "id": True},
        {"kind": "cancel", "id": "1"},
        {"kind": "call", "id": 1, "method": "m", "left_ms": -1, "credit": 0},
        {"kind": "call", "id": 1, "method": "m" * 201, "left_ms": 1, "credit": 0},
        {"kind": "call", "id": 1, "method": "m", "left_ms": 1, "credit": 0, "context": ["request_id"]},
        {
            "kind": "call",
            "id": 1,
            "method": "m",
            "left_ms": 1,
            "credit": 0,
            "context": dict.fromkeys("abcdefghijklmnopqrstuvw", 1),
        },
        {"kind": "credit", "id": 1, "amount": MAX_CREDIT + 1},
        {"kind": "error", "id": 1, "code": "x", "message": "y", "details": [1]},
        {"kind": "hello", "lowest_version": 1, "highest_version": 1, "role": "r", "name": "n", "capabilities": [1]},
        {"kind": "event", "name": "x", "body": msgpack.ExtType(5, b"data")},
    ],
)
def test_a_map_that_is_not_a_frame_is_a_protocol_error(content: object) -> None:
    with pytest.raises(ProtocolError):
        decode(msgpack.packb(content))


def test_a_key_from_a_newer_peer_is_ignored() -> None:
    assert decode(msgpack.packb({"kind": "cancel", "id": 7, "mood": "fine"})) == Cancel(id=7)


def test_a_frame_over_the_limit_is_neither_sent_nor_accepted() -> None:
    with pytest.raises(Unsendable, match="a frame holds"):
        encode(Done(id=1, body=b"x" * MAX_FRAME_BYTES))
    with pytest.raises(ProtocolError, match="over the limit"):
        decode(b"x" * (MAX_FRAME_BYTES + 1))


def nested(depth: int) -> list[object]:
    body: list[object] = []
    for _ in range(depth):
        body = [body]
    return body


@pytest.mark.parametrize(
    "body",
    [object(), {1, 2}, 2**64, datetime.date(2026, 1, 1), nested(5000)],
    ids=["object", "set", "large-number", "date", "too-deep"],
)
def test_a_body_that_msgpack_cannot_encode_is_unsendable(body: object) -> None:
    with pytest.raises(Unsendable):
        encode(Event(name="odd", body=body))


def test_nested_headers_of_long_arrays_are_rejected() -> None:
    with pytest.raises(ProtocolError):
        decode(b"\xdd\x00\x0f\xff\xff" * 1000)


def test_a_long_message_is_cut_to_the_limit_of_an_error_frame() -> None:
    message = clipped("x" * 100_000)
    assert decode(encode(Error(id=1, code="internal", message=message))) == Error(
        id=1, code="internal", message=message
    )


@pytest.mark.parametrize(
    "many", [lambda: [{}] * 16_000, lambda: {str(number): [] for number in range(16_000)}], ids=["list", "map"]
)
def test_a_frame_of_very_many_values_is_a_protocol_error(many: Callable[[], object]) -> None:
    """A MiB of empty maps would take 70 MiB of memory."""
    data = msgpack.packb({"kind": "event", "name": "x", "body": [many()] * 10})
    assert len(data) < MAX_FRAME_BYTES
    with pytest.raises(ProtocolError, match="too many values"):
        decode(data)


def test_an_event_has_a_limit_of_its_own() -> None:
    encode(Event(name="x", body="y" * 60_000))
    with pytest.raises(Unsendable, match="an event holds 65536"):
        encode(Event(name="x", body="y" * 70_000))
