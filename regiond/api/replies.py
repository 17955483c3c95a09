"""HTTP responses as values, and the functions that make them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from attrs import evolve, field, frozen

from common.words.hidden_text import MARKS
from regiond.api.json_text import indented

JSON_UTF8 = "application/json; charset=utf-8"
TEXT_UTF8 = "text/plain; charset=utf-8"


class Terminal(Protocol):
    """The client's end of a WebSocket."""

    async def receive(self) -> bytes | None: ...
    async def send(self, data: bytes) -> None: ...


# Serves a WebSocket, returns the reason for its end; checks with the second argument that the client is logged in.
Upgrade = Callable[[Terminal, Callable[[], Awaitable[bool]]], Awaitable[str]]


@frozen(kw_only=True)
class Reply:
    """A response. An empty body has a content type too: the maas CLI fails without one.

    With `chunks`, these are the body. They hold no connection to the database while nobody iterates. With `upgrade`,
    the answer is a WebSocket, which that function serves. `packed` is the body compressed with gzip, if it exists.

    `operation_id` is the operation that the request began, for the audit trail; it is not sent.
    """

    status: int
    body: bytes = b""
    content_type: str = TEXT_UTF8
    headers: Mapping[str, str] = field(factory=dict)
    packed: bytes | None = field(default=None, repr=False)
    chunks: AsyncGenerator[bytes, None] | None = None
    upgrade: Upgrade | None = None
    operation_id: int | None = None


def json_reply(
    value: Any, *, status: int = 200, content_type: str = JSON_UTF8, headers: Mapping[str, str] | None = None
) -> Reply:
    body = indented(value).encode("ascii")
    return Reply(status=status, body=body, content_type=content_type, headers=headers or {})


def text_reply(text: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status=status, body=text.encode("utf-8", "replace"), headers=headers or {})


def with_operation(reply: Reply, operation_id: int) -> Reply:
    """Returns the reply with the operation that its request began."""
    return evolve(reply, operation_id=operation_id)


def with_warnings(reply: Reply, texts: Iterable[str]) -> Reply:
    """Returns the reply with the texts in the header `Warning` (RFC 7234); without texts, `reply` itself."""
    added = [f'299 - "{_quotable(text)}"' for text in texts]
    if not added:
        return reply
    present = [reply.headers["Warning"]] if "Warning" in reply.headers else []
    return evolve(reply, headers={**reply.headers, "Warning": ", ".join([*present, *added])})


def _quotable(text: str) -> str:
    """Returns the text for a quoted string of a header: ASCII without control characters, quotes and backslashes.

    Marks stay: `readers.shown_reply` shows or masks what they hide.
    """
    return "".join(
        each if each in MARKS or (each.isascii() and each.isprintable() and each not in '"\\') else "?" for each in text
    )


def empty_reply() -> Reply:
    """Returns 204 No Content."""
    return Reply(status=204)
