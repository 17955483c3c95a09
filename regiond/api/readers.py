"""Shows each reader of an answer or page what its texts hide, or that they hide it: the last step."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from attrs import evolve

from common.errors import InnkeeperError
from common.words.hidden_text import masked_bytes, revealed_bytes
from regiond.api.replies import Reply, Terminal, Upgrade
from regiond.requests.audience import error_shown_to, text_shown_to
from regiond.requests.caller import Caller


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
