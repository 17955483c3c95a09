"""HTTP responses as values: the functions that make them, and what each reader may see of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from attrs import evolve, field, frozen

from common.errors import InnkeeperError
from common.words.hidden_text import MARKS, masked_bytes, revealed_bytes
from regiond.api.json_text import indented
from regiond.requests.audience import error_shown_to, text_shown_to
from regiond.requests.caller import Caller

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

    Marks stay: `shown_reply` shows or masks what they hide.
    """
    return "".join(
        each if each in MARKS or (each.isascii() and each.isprintable() and each not in '"\\') else "?" for each in text
    )


def empty_reply() -> Reply:
    """Returns 204 No Content."""
    return Reply(status=204)


def shown_reply(reply: Reply, reader: Caller | None) -> Reply:
    """Returns the answer as `reader` may see it; None: somebody who is not logged in. Data are left as they are."""
    if reply.upgrade is not None:
        return evolve(reply, upgrade=_shown_end(reply.upgrade, reader))
    if "Warning" in reply.headers:
        reply = evolve(reply, headers={**reply.headers, "Warning": text_shown_to(reader, reply.headers["Warning"])})
    if not _is_text(reply.content_type):
        return reply
    shown = revealed_bytes if reader is not None and reader.is_admin else masked_bytes
    if reply.chunks is not None:
        return evolve(reply, chunks=_shown(reply.chunks, shown))
    body = shown(reply.body)
    return reply if body == reply.body else evolve(reply, body=body, packed=None)


def shown_text(text: str, reader: Caller) -> str:
    """Returns JSON, in ASCII, as `reader` may see it."""
    return (revealed_bytes if reader.is_admin else masked_bytes)(text.encode()).decode()


def _is_text(content_type: str) -> bool:
    return content_type.startswith("text/") or "json" in content_type


async def _shown(chunks: AsyncGenerator[bytes, None], shown: Callable[[bytes], bytes]) -> AsyncGenerator[bytes, None]:
    """Each chunk has whole objects, lines or events, so no mark begins in one and ends in the next."""
    async with aclosing(chunks):
        async for chunk in chunks:
            yield shown(chunk)


def _shown_end(upgrade: Upgrade, reader: Caller | None) -> Upgrade:
    """A WebSocket carries data; the reason of its end is a text."""

    async def run(terminal: Terminal, is_logged_in: Callable[[], Awaitable[bool]]) -> str:
        try:
            return text_shown_to(reader, await upgrade(terminal, is_logged_in))
        except InnkeeperError as error:
            raise error_shown_to(reader, error) from error

    return run
