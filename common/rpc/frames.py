"""What travels on a link: one msgpack map per frame, ten kinds.

Ids belong to the end that made the call: `call`, `cancel` and `credit` speak of the sender's calls; `item`, `done` and
`error` of the receiver's. Id 0 in `error` means the link itself: the sender refuses it or is about to end it.
Unknown keys are ignored, so frames can grow; an unknown kind breaks the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgpack
from attrs import asdict, field, frozen

MAX_FRAME_BYTES = 1024 * 1024
MAX_CALL_ID = 2**53 - 1
MAX_DEADLINE_MS = 2**31 - 1  # 24 days
MAX_CREDIT = 1024
LINK_ID = 0

_MAX_NAME = 200
_MAX_MESSAGE = 8192
_MAX_CAPABILITIES = 100


class ProtocolError(Exception):
    """The other end sent something that no correct peer sends. The link cannot go on."""


class Unsendable(Exception):
    """The body does not fit into a frame: too large, or of types that msgpack cannot hold. Nothing was sent."""


@frozen(kw_only=True)
class Hello:
    """The first frame each way. `max_calls` is how many calls the sender is willing to work on at once."""

    lowest_version: int
    highest_version: int
    role: str
    name: str
    capabilities: tuple[str, ...] = ()
    max_calls: int = 256


@frozen(kw_only=True)
class Call:
    """`left_ms` is time left, not a moment: clocks differ. `credit` above 0 asks for a stream of that many items."""

    id: int
    method: str
    left_ms: int
    credit: int = 0
    body: Any = None


@frozen(kw_only=True)
class Item:
    id: int
    body: Any = None


@frozen(kw_only=True)
class Done:
    id: int
    body: Any = None


@frozen(kw_only=True)
class Error:
    id: int
    code: str
    message: str = ""
    details: dict[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class Cancel:
    id: int


@frozen(kw_only=True)
class Credit:
    id: int
    amount: int


@frozen(kw_only=True)
class Event:
    name: str
    body: Any = None


@frozen(kw_only=True)
class Ping:
    pass


@frozen(kw_only=True)
class Pong:
    pass


Frame = Hello | Call | Item | Done | Error | Cancel | Credit | Event | Ping | Pong


def encode(frame: Frame, *, max_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """The frame as bytes, without the length prefix. Raises Unsendable."""
    plain = asdict(frame, recurse=False)
    plain["kind"] = _KIND_OF[type(frame)]
    try:
        data: bytes = msgpack.packb(plain, use_bin_type=True)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unsendable(f"cannot be put into a frame: {error}") from error
    if len(data) > max_bytes:
        raise Unsendable(f"takes {len(data)} bytes and a frame holds {max_bytes}")
    return data


def decode(data: bytes, *, max_bytes: int = MAX_FRAME_BYTES) -> Frame:
    """The frame in `data`. Raises ProtocolError for anything that `encode` would not make."""
    if len(data) > max_bytes:
        raise ProtocolError(f"a frame of {len(data)} bytes, over the limit of {max_bytes}")
    plain = _unpacked(data, max_bytes)
    if not isinstance(plain, dict):
        raise ProtocolError("a frame that is no map")
    kind = plain.get("kind")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise ProtocolError(f"a frame of unknown kind {str(kind)[:40]!r}")
    return reader(plain)


def clipped(text: str) -> str:
    """At most as much text as an error frame may carry."""
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _unpacked(data: bytes, max_bytes: int) -> Any:
    # An array header promises a length before its elements come, and the list is allocated at once: without a limit,
    # nested headers in one small frame would take gigabytes.
    longest = max(64, max_bytes // 64)
    try:
        return msgpack.unpackb(data, raw=False, max_ext_len=0, max_array_len=longest, max_map_len=longest)
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.UnpackException) as error:
        raise ProtocolError(f"bytes that are no frame ({type(error).__name__})") from error


def _number(plain: Mapping[str, Any], key: str, low: int, high: int) -> int:
    value = plain.get(key)
    if type(value) is not int or not low <= value <= high:
        raise ProtocolError(f"a {plain['kind']} frame whose {key} is not a number from {low} to {high}")
    return value


def _text(plain: Mapping[str, Any], key: str, longest: int = _MAX_NAME) -> str:
    value = plain.get(key)
    if not isinstance(value, str) or len(value) > longest:
        raise ProtocolError(f"a {plain['kind']} frame whose {key} is not a text of at most {longest} characters")
    return value


def _call_id(plain: Mapping[str, Any]) -> int:
    return _number(plain, "id", 1, MAX_CALL_ID)


def _read_hello(plain: Mapping[str, Any]) -> Hello:
    words = plain.get("capabilities", ())
    if not isinstance(words, list) or len(words) > _MAX_CAPABILITIES:
        raise ProtocolError(f"a hello frame whose capabilities are not a list of at most {_MAX_CAPABILITIES}")
    if not all(isinstance(word, str) and len(word) <= _MAX_NAME for word in words):
        raise ProtocolError("a hello frame with a capability that is no text")
    return Hello(
        lowest_version=_number(plain, "lowest_version", 0, MAX_CREDIT),
        highest_version=_number(plain, "highest_version", 0, MAX_CREDIT),
        role=_text(plain, "role"),
        name=_text(plain, "name"),
        capabilities=tuple(words),
        max_calls=_number(plain, "max_calls", 1, MAX_CALL_ID),
    )


def _read_call(plain: Mapping[str, Any]) -> Call:
    return Call(
        id=_call_id(plain),
        method=_text(plain, "method"),
        left_ms=_number(plain, "left_ms", 0, MAX_DEADLINE_MS),
        credit=_number(plain, "credit", 0, MAX_CREDIT),
        body=plain.get("body"),
    )


def _read_error(plain: Mapping[str, Any]) -> Error:
    details = plain.get("details", {})
    if not isinstance(details, dict) or not all(isinstance(key, str) for key in details):
        raise ProtocolError("an error frame whose details are no map of texts")
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
