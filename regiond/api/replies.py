"""What goes back over the wire, as a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from attrs import field, frozen

from regiond.api.json_text import indented

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
    body = indented(value).encode("ascii")
    return Reply(status=status, body=body, content_type=content_type, headers=headers or {})


def list_reply(items: Iterable[Any]) -> Reply:
    """What `json_reply` makes of the list, byte for byte, in the memory of its text: `items` are made one at a time."""
    text = BytesIO()  # gives its bytes away without a copy; a list of all machines is hundreds of megabytes
    before = b"[\n    "
    for item in items:
        text.write(before)
        text.write(indented(item, depth=1).encode("ascii"))
        before = b",\n    "
    text.write(b"\n]" if text.tell() else b"[]")
    return Reply(status=200, body=text.getvalue(), content_type=JSON_UTF8)


def text_reply(text: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status=status, body=text.encode("utf-8", "replace"), headers=headers or {})


def empty_reply() -> Reply:
    """204: it is done, and there is nothing left to show."""
    return Reply(status=204)
