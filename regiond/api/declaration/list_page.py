"""Makes one page of a list of moderate length: searched and sorted by the values that the API shows."""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

from attrs import evolve, frozen

from common.errors import InvalidRequest
from regiond.api.declaration.lists import (
    TOTAL,
    ListOptions,
    Order,
    Rank,
    has_text,
    identity_key,
    is_number,
    list_reply,
    next_link,
)
from regiond.api.declaration.serializer import Serializer
from regiond.api.json_text import compact
from regiond.api.replies import JSON_UTF8, Reply, shown_text
from regiond.requests.caller import Caller
from regiond.requests.long_list import LongList

T = TypeVar("T")

MAX_BYTES = 32 * 1024 * 1024  # of a sorted list without a limit, which is in memory as a whole
_Row = tuple[tuple[Rank, Rank], str]


@frozen(kw_only=True)
class Page(Generic[T]):
    """A page that an endpoint made itself.

    `total` is the number of objects on all pages, if it is known; `next` the field with the position of the next page.
    """

    found: LongList[T]
    total: int | None = None
    next: tuple[str, str] | None = None

    @classmethod
    def by_id(cls, rows: Sequence[T], *, limit: int, field: str, id_of: Callable[[T], int]) -> Page[T]:
        """A page of a log: `field` takes the id of the last row; a full page may be the last one."""
        following = (field, str(id_of(rows[-1]))) if len(rows) >= limit else None
        return cls(found=LongList.of(rows), next=following)

    def headers(self, path: str, query: Iterable[tuple[str, str]]) -> Mapping[str, str]:
        total = {} if self.total is None else {TOTAL: str(self.total)}
        return total if self.next is None else {**total, "Link": next_link(path, query, self.next)}


async def page_reply(
    found: LongList[T] | Iterable[T],
    items: Serializer[T],
    wanted: ListOptions,
    *,
    path: str,
    query: Iterable[tuple[str, str]],
    reader: Caller,
) -> Reply:
    """Returns an array of the objects that `wanted` describes; with a limit, in a total order.

    The header X-Total-Count has the number of objects on all pages, Link the URL of the next page. Reads every object,
    unless their order is that of the list's keys, but retains at most two pages. What it searches and sorts by is what
    `reader` sees. Raises InvalidRequest for a position that belongs to another order.
    """
    identity = identity_key(items.schema)
    order = Order(wanted, identity, is_number(items.schema, identity))
    is_by_identity = identity is not None and not (wanted.sort or wanted.text)
    if is_by_identity and isinstance(found, LongList) and found.keyed_by == identity:
        return await _page_of_keys(found, items, wanted, order, path=path, query=query)
    is_sorted = bool(wanted.sort or wanted.limit is not None or wanted.after)
    rows: list[_Row] = []
    total = following = size = read = 0
    every = found if isinstance(found, LongList) else LongList.of(found)
    async with aclosing(every.batches()) as batches:
        async for batch in batches:
            if read:
                await asyncio.sleep(0)  # other tasks run between two batches
            read += len(batch)
            for one in batch:
                encoded = items.encode(one)
                text = compact(encoded)
                if (shown := shown_text(text, reader)) != text:
                    text, encoded = shown, json.loads(shown)
                if wanted.text and not has_text(encoded, wanted.text):
                    continue
                total += 1
                position = order.position(encoded, text)
                if order.is_wanted(position):
                    following += 1
                    rows.append((position, text))
                    size += len(text)
            if wanted.limit is not None and len(rows) > 2 * wanted.limit:
                rows = _first(rows, wanted)
            elif wanted.limit is None and size > MAX_BYTES:
                raise InvalidRequest.of(
                    {"limit": ["This list is too long to be sorted or searched as a whole: set it."]}
                )
    if is_sorted:
        rows = _first(rows, wanted)
    headers = {TOTAL: str(total)}
    if following > len(rows):
        headers["Link"] = next_link(path, query, ("after", order.cursor(rows[-1][0])))
    body = f"[{','.join(text for _, text in rows)}]".encode("ascii")
    return Reply(status=200, body=body, content_type=JSON_UTF8, headers=headers)


def _first(rows: list[_Row], wanted: ListOptions) -> list[_Row]:
    rows.sort(key=lambda row: row[0], reverse=wanted.descending)
    return rows[: wanted.limit]


async def _page_of_keys(
    found: LongList[T],
    items: Serializer[T],
    wanted: ListOptions,
    order: Order,
    *,
    path: str,
    query: Iterable[tuple[str, str]],
) -> Reply:
    """The page that begins after a key: without one at the first, after what is no key behind the last."""
    begins = 0
    if order.after is not None:
        _, (_, after) = order.after
        begins = bisect_right(found.keys, after) if isinstance(after, int) else len(found.keys)
    ends = len(found.keys) if wanted.limit is None else begins + wanted.limit
    headers = {TOTAL: str(len(found.keys))}
    if ends < len(found.keys):
        headers["Link"] = next_link(path, query, ("after", str(found.keys[ends - 1])))
    return await list_reply(evolve(found, keys=found.keys[begins:ends]), items.encode, headers=headers)
