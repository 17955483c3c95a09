"""Encodes long lists as one JSON array, in chunks, never as a whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

from regiond.api.replies import JSON_UTF8, Reply
from regiond.long_list import LongList

T = TypeVar("T")

TOTAL = "X-Total-Count"  # the number of objects on all pages
CHUNK_BYTES = 64 * 1024
MAX_OBJECTS = 100  # in a chunk: encoding them blocks the event loop for a few milliseconds
compact = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


async def list_reply(
    found: LongList[T], encode: Callable[[T], Any], *, headers: Mapping[str, str] | None = None
) -> Reply:
    """Returns a JSON array of the objects, without blanks. Raises the errors of reading the first of them.

    A list of one chunk becomes the body. Of a longer list, only two chunks have been read; the rest is read and encoded
    as the client receives it. By default the headers have the number of objects.
    """
    texts = _texts(found, encode)
    try:
        first = await anext(texts)
        second = await anext(texts, None)
    except BaseException:
        await texts.aclose()
        raise
    if headers is None:
        headers = {TOTAL: str(len(found.keys))}
    if second is None:
        return Reply(status=200, body=first, content_type=JSON_UTF8, headers=headers)
    return Reply(status=200, content_type=JSON_UTF8, headers=headers, chunks=_joined(first, second, texts))


async def _texts(found: LongList[T], encode: Callable[[T], Any]) -> AsyncGenerator[bytes, None]:
    """Yields at least one chunk, the last of which ends the array. Other tasks run between two chunks."""
    before, texts, length = "[", list[str](), 0
    async with aclosing(found.batches()) as batches:
        async for batch in batches:
            for one in batch:
                texts.append(before + compact(encode(one)))
                before = ","
                length += len(texts[-1])
                if length >= CHUNK_BYTES or len(texts) >= MAX_OBJECTS:
                    yield "".join(texts).encode("ascii")
                    texts, length = [], 0
                    await asyncio.sleep(0)
    yield ("".join(texts) + ("[]" if before == "[" else "]")).encode("ascii")


async def _joined(first: bytes, second: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        yield second
        async for chunk in rest:
            yield chunk
