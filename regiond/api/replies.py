"""What goes back over the wire, as a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import field, frozen

JSON_UTF8 = "application/json; charset=utf-8"
TEXT_UTF8 = "text/plain; charset=utf-8"


@frozen(kw_only=True)
class Reply:
    """A status, a body and its type; an empty body has a type too, since the maas CLI fails without one."""

    status: int
    body: bytes = b""
    content_type: str = TEXT_UTF8
    headers: Mapping[str, str] = field(factory=dict)


def json_reply(
    value: Any, *, status: int = 200, content_type: str = JSON_UTF8, headers: Mapping[str, str] | None = None
) -> Reply:
    body = json.dumps(value, indent=4, allow_nan=False).encode("ascii")
    return Reply(status=status, body=body, content_type=content_type, headers=headers or {})


def list_reply(items: Iterable[Any]) -> Reply:
    """What `json_reply` makes of the list, byte for byte, in the memory of its text: `items` are made one at a time."""
    each = [json.dumps([item], indent=4, allow_nan=False)[2:-2].encode("ascii") for item in items]
    body = b"".join((b"[\n", b",\n".join(each), b"\n]")) if each else b"[]"
    return Reply(status=200, body=body, content_type=JSON_UTF8)


def text_reply(text: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status=status, body=text.encode("utf-8", "replace"), headers=headers or {})


def empty_reply() -> Reply:
    """204: it is done, and there is nothing left to show."""
    return Reply(status=204)
