"""The frames of a link: ten kinds, each one msgpack map.

The end that makes a call chooses its id: `call`, `cancel` and `credit` refer to calls of the sender; `item`, `done` and
`error` to calls of the receiver. Id 0 in `error` is the link itself: the sender rejects or ends it. Unknown keys are
ignored, so that frames can grow; an unknown kind is a protocol error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgpack
from attrs import asdict, field, frozen

MAX_FRAME_BYTES = 1024 * 1024
MAX_CLIENT_FRAME_BYTES = 64 * 1024  # from an RPC client
MAX_EVENT_BYTES = 64 * 1024
BYTES_PER_VALUE = 8  # a frame of n bytes has at most n / 8 values: a listing of guests has about n / 10
MAX_CALL_ID = 2**53 - 1
MAX_DEADLINE_MS = 2**31 - 1  # 24 days
MAX_CREDIT = 1024
LINK_ID = 0

_MAX_NAME = 200
_MAX_MESSAGE = 8192
_MAX_CAPABILITIES = 100
_MAX_CONTEXT = 20


class ProtocolError(Exception):
    """The peer sent a frame that no correct peer sends. The link must end."""


class Unsendable(Exception):
    """The body is too large for a frame or has types that msgpack cannot encode. Nothing was sent."""


@frozen(kw_only=True)
class Hello:
    """The first frame in each direction. `max_calls` is how many calls the sender runs at once."""

    lowest_version: int
    highest_version: int
    role: str
    name: str
    capabilities: tuple[str, ...] = ()
    max_calls: int = 256


@frozen(kw_only=True)
class Call:
    """`left_ms` is the time left until the deadline, because clocks differ. `credit` above 0 requests a stream.

    `context` has ids for the log; peers of before 1.0 neither send nor read it.
    """

    id: int
    method: str
    left_ms: int
    credit: int = 0
    body: Any = None
    context: Mapping[str, str | int] = field(factory=dict)


@frozen(kw_only=True)
class Item:
    """One item of a streamed reply."""

    id: int
    body: Any = None


@frozen(kw_only=True)
class Done:
    """The last frame of a successful call."""

    id: int
    body: Any = None


@frozen(kw_only=True)
class Error:
    """The last frame of a failed call, or of the link if it has no call id."""

    id: int
    code: str
    message: str = ""
    details: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Cancel:
    """Requests the end of a call."""

    id: int


@frozen(kw_only=True)
class Credit:
    """Permits more items of a stream."""

    id: int
    amount: int


@frozen(kw_only=True)
class Event:
    """A notification without a reply."""

    name: str
    body: Any = None


@frozen(kw_only=True)
class Ping:
    """Requests a pong, to detect a lost connection."""


@frozen(kw_only=True)
class Pong:
    """The reply to a ping."""


Frame = Hello | Call | Item | Done | Error | Cancel | Credit | Event | Ping | Pong


def encode(frame: Frame, *, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """Returns the frame as bytes, without the length prefix. Raises Unsendable."""
    plain = asdict(frame, recurse=False)
    plain["kind"] = _KIND_OF[type(frame)]
    if isinstance(frame, Call) and not frame.context:
        del plain["context"]
    try:
        data: bytes = msgpack.packb(plain, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unsendable(f"cannot be encoded: {error}") from error
    longest = min(max_bytes, MAX_EVENT_BYTES) if isinstance(frame, Event) else max_bytes
    if len(data) > longest:
        raise Unsendable(
            f"has {len(data)} bytes; {'an event' if isinstance(frame, Event) else 'a frame'} holds {longest}"
        )
    return data


def decode(data: bytes, *, max_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """Returns the frame in `data`. Raises ProtocolError for anything that `encode` does not produce."""
    if len(data) > max_bytes:
        raise ProtocolError(f"a frame of {len(data)} bytes, over the limit of {max_bytes}")
    plain = _unpacked(data, max_bytes)
    if not isinstance(plain, dict):
        raise ProtocolError("a frame that is not a map")
    kind = plain.get("kind")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise ProtocolError(f"a frame of unknown kind {str(kind)[:40]!r}")
    return reader(plain)


def clipped(text: str) -> str:
    """Returns the text cut to what an error frame can carry."""
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


class _ValueBudget:
    """Counts the values of a frame while they are decoded, and ends the decoding when there are too many.

    A value takes one byte in a frame and 60 or more in memory: an empty map, for example.
    """

    def __init__(self, values: int) -> None:
        self._left = values

    def spend(self, container: Any) -> Any:
        self._left -= 1 + len(container)
        if self._left < 0:
            raise ValueError("too many values")
        return container


def _unpacked(data: bytes, max_bytes: int) -> Any:
    # msgpack allocates a list when it reads the array header: without a limit, nested headers in one small frame would
    # allocate gigabytes.
    longest = max(64, min(16384, max_bytes // 8))
    budget = _ValueBudget(max(1024, max_bytes // BYTES_PER_VALUE))
    try:
        return msgpack.unpackb(
            data, raw=False, max_ext_len=0, max_array_len=longest, max_map_len=longest,
            object_hook=budget.spend, list_hook=budget.spend,
        )  # fmt: skip
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise ProtocolError(
            f"bytes that are not a frame, or one of too many values ({type(error).__name__})"
        ) from error


def _number(plain: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = plain.get(key)
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(f"a {plain['kind']} frame whose {key} is not a number from {low} to {high}")
    return value


def _text(plain: Mapping[str, Any], key: str, longest: int = _MAX_NAME) -> str:
    value = plain.get(key)
    if not isinstance(value, str) or len(value) > longest:
        raise ProtocolError(f"a {plain['kind']} frame whose {key} is not a string of at most {longest} characters")
    return value


def _call_id(plain: Mapping[str, Any]) -> int:
    return _number(plain, "id", 1, MAX_CALL_ID)


def _read_hello(plain: Mapping[str, Any]) -> Hello:
    words = plain.get("capabilities", ())
    if not isinstance(words, list) or len(words) > _MAX_CAPABILITIES:
        raise ProtocolError(f"a hello frame whose capabilities are not a list of at most {_MAX_CAPABILITIES}")
    if not all(isinstance(word, str) and len(word) <= _MAX_NAME for word in words):
        raise ProtocolError("a hello frame with a capability that is not a string")
    return Hello(
        lowest_version=_number(plain, "lowest_version", 0, MAX_CREDIT),
        highest_version=_number(plain, "highest_version", 0, MAX_CREDIT),
        role=_text(plain, "role"),
        name=_text(plain, "name"),
        capabilities=tuple(words),
        max_calls=_number(plain, "max_calls", 1, MAX_CALL_ID),
    )


def _read_call(plain: Mapping[str, Any]) -> Call:
    context = plain.get("context", {})
    if not isinstance(context, dict) or len(context) > _MAX_CONTEXT:
        raise ProtocolError(f"a call frame whose context is not a map of at most {_MAX_CONTEXT} values")
    return Call(
        id=_call_id(plain),
        method=_text(plain, "method"),
        left_ms=_number(plain, "left_ms", 0, MAX_DEADLINE_MS),
        credit=_number(plain, "credit", 0, MAX_CREDIT),
        body=plain.get("body"),
        context=context,
    )


def _read_error(plain: Mapping[str, Any]) -> Error:
    details = plain.get("details", {})
    if not isinstance(details, dict) or not all(isinstance(key, str) for key in details):
        raise ProtocolError("an error frame whose details are not a map with string keys")
    return Error(
        id=_number(plain, "id", LINK_ID, MAX_CALL_ID),
        code=_text(plain, "code"),
        message=_text(plain, "message", _MAX_MESSAGE),
        details=details,
    )


def _read_credit(plain: Mapping[str, Any]) -> Credit:
    return Credit(id=_call_id(plain), amount=_number(plain, "amount", 1, MAX_CREDIT))


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Frame]] = {
    "hello": _read_hello,
    "call": _read_call,
    "item": lambda plain: Item(id=_call_id(plain), body=plain.get("body")),
    "done": lambda plain: Done(id=_call_id(plain), body=plain.get("body")),
    "error": _read_error,
    "cancel": lambda plain: Cancel(id=_call_id(plain)),
    "credit": _read_credit,
    "event": lambda plain: Event(name=_text(plain, "name"), body=plain.get("body")),
    "ping": lambda _: Ping(),
    "pong": lambda _: Pong(),
}

_KIND_OF: Mapping[type, str] = {
    Hello: "hello",
    Call: "call",
    Item: "item",
    Done: "done",
    Error: "error",
    Cancel: "cancel",
    Credit: "credit",
    Event: "event",
    Ping: "ping",
    Pong: "pong",
}
