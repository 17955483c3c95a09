"""A list as a file, sent in chunks: JSON as the API answers it, or CSV with the API's keys."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from attrs import evolve

from common.errors import InvalidRequest
from regiond.api.declaration.lists import list_reply
from regiond.api.replies import Reply
from regiond.requests.long_list import LongList
from regiond.ui.lists.csv_lines import CSV, csv_lines
from regiond.ui.rendering.page import Visit

T = TypeVar("T")

FORMATS = ("csv", "json")


async def export(
    visit: Visit, name: str, found: LongList[T], encode: Callable[[T], Mapping[str, Any]], columns: Sequence[str]
) -> Reply:
    """Returns the file in the format that the address names. `columns` are those of CSV, as `pool.name`."""
    wanted = visit.request.option("format", FORMATS[0])
    if wanted not in FORMATS:
        raise InvalidRequest.of({"format": [f"A list is exported as one of: {', '.join(FORMATS)}."]})
    headers = {"Content-Disposition": f'attachment; filename="{name}-{visit.now:%Y%m%d-%H%M%S}.{wanted}"'}
    if wanted == "json":
        reply = await list_reply(found, encode)
        return evolve(reply, headers={**reply.headers, **headers})
    return Reply(status=200, content_type=CSV, headers=headers, chunks=csv_chunks(found, encode, columns))


async def csv_chunks(
    found: LongList[T], encode: Callable[[T], Mapping[str, Any]], columns: Sequence[str]
) -> AsyncGenerator[bytes, None]:
    """Yields the head, then the rows of one batch after the other."""
    yield csv_lines([columns]).encode()
    async with aclosing(found.batches()) as batches:
        async for batch in batches:
            encoded = [encode(one) for one in batch]
            yield csv_lines([_value(one, column) for column in columns] for one in encoded).encode()


def _value(encoded: Any, column: str) -> Any:
    """The value at the path; None where a part of it is null or missing."""
    for key in column.split("."):
        encoded = encoded.get(key) if isinstance(encoded, Mapping) else None
    return encoded
