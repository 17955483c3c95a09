"""Lists: their options `limit`, `after`, `sort` and `q`, their pages and their JSON.

Long lists are encoded as one JSON array, in chunks, never as a whole.
"""

import asyncio
import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

from attrs import field, frozen

from common.errors import InvalidRequest
from regiond.api.declaration.field_types import Integer, Text
from regiond.api.declaration.fields import Field, Values
from regiond.api.declaration.serializer import Schema
from regiond.api.json_text import compact
from regiond.api.replies import JSON_UTF8, Reply
from regiond.requests.long_list import LongList

T = TypeVar("T")

MAX_LIMIT = 1000
_MAX_CURSOR = 2000
_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_IDENTITIES = ("id", "system_id", "username", "token_key", "name", "filename", "ip", "resource_uri")
_SCALARS = frozenset({"string", "integer", "number", "boolean"})
_ORDER_OF_TYPES = {bool: 0, int: 1, float: 1, str: 2}
_NULL = 3  # the last, as in PostgreSQL

TOTAL = "X-Total-Count"  # the number of objects on all pages
CHUNK_BYTES = 64 * 1024
MAX_OBJECTS = 100  # in a chunk: encoding them blocks the event loop for a few milliseconds

Rank = tuple[int, Any]  # what compares two JSON values of any types


@frozen(kw_only=True)
class ListOptions:
    """The options of a request for a list. Without any, the answer is the whole list."""

    limit: int | None = None
    after: str = ""
    sort: str = ""  # the name of a key
    descending: bool = False
    text: str = ""

    @classmethod
    def of(cls, values: Values) -> Self:
        sort: str = values.get("sort") or ""
        return cls(
            limit=values.get("limit"),
            after=values.get("after") or "",
            sort=sort.removeprefix("-"),
            descending=sort.startswith("-"),
            text=(values.get("q") or "").casefold(),
        )

    @property
    def is_plain(self) -> bool:
        return self == PLAIN


PLAIN = ListOptions()


def option_fields(items: Schema, fields: Iterable[Field], *, described: str = "objects") -> tuple[Field, ...]:
    """The fields `limit`, `after`, `sort` and `q`; none if the list declares a limit, and so makes its own pages.

    A list that declares `q` searches by itself.
    """
    names = {one.name for one in fields}
    keys = ", ".join(sort_keys(items))
    added = (
        Field("limit", Integer(minimum=1, maximum=MAX_LIMIT), f"Maximum number of {described}."),
        Field(
            "after",
            Text(max_length=_MAX_CURSOR),
            "Where the page begins: the header Link of the page before it has the URL with it.",
        ),
        Field("sort", Text(), f"The key to sort by; with a leading minus, in descending order. One of {keys}."),
        Field("q", Text(), f"Only {described} with this text in a value, in any case."),
    )
    return () if "limit" in names else tuple(one for one in added if one.name not in names)


def sort_keys(items: Schema) -> tuple[str, ...]:
    """The keys of a list's objects that have one value: texts, numbers and booleans, or null.

    Of objects of several kinds, those that all of them have.
    """
    if "anyOf" in items:
        first, *others = (sort_keys(one) for one in items["anyOf"])
        return tuple(name for name in first if all(name in keys for keys in others))
    return tuple(name for name, schema in items.get("properties", {}).items() if _is_scalar(schema))


def check_sort(items: Schema, wanted: ListOptions) -> None:
    """Raises InvalidRequest for the field `sort`."""
    if wanted.sort and wanted.sort not in (keys := sort_keys(items)):
        raise InvalidRequest.of({"sort": [f"There is no key {wanted.sort[:60]!r} to sort by; use {', '.join(keys)}."]})


def identity_key(items: Schema) -> str | None:
    """The key by which an object is told from the others of its list, if it has one."""
    keys = sort_keys(items)
    return next((name for name in _IDENTITIES if name in keys), None)


def is_number(items: Schema, key: str | None) -> bool:
    """Whether the key's values are numbers: a tag may be named 2024, and is text all the same."""
    kinds: Sequence[Schema] = items.get("anyOf", [items])
    return key is not None and all(one["properties"][key].get("type") == "integer" for one in kinds)


@frozen
class Order:
    """The total order of a list: by the sort key, then by the identity."""

    _options: ListOptions
    _identity: str | None
    _identity_is_number: bool
    after: tuple[Rank, Rank] | None = field(init=False)

    @after.default
    def _read_cursor(self) -> tuple[Rank, Rank] | None:
        return _cursor(
            self._options, by_identity=self._identity is not None, identity_is_number=self._identity_is_number
        )

    def position(self, encoded: Any, text: str) -> tuple[Rank, Rank]:
        """Returns the place of an object in the order; `text` is its JSON, which orders it if it has no identity."""
        return _rank(self._value(encoded)), _rank(self._identity_of(encoded, text))

    def is_wanted(self, position: tuple[Rank, Rank]) -> bool:
        """Whether the object is on this page or a later one."""
        if self.after is None:
            return True
        return position < self.after if self._options.descending else position > self.after

    def cursor(self, position: tuple[Rank, Rank]) -> str:
        """The value of `after` with which the page after this object begins."""
        if not self._options.sort and self._identity is not None:
            return str(position[1][1])
        text = json.dumps([_value_of(each) for each in position], separators=(",", ":"))
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _value(self, encoded: Any) -> Any:
        return encoded[self._options.sort] if self._options.sort else None

    def _identity_of(self, encoded: Any, text: str) -> Any:
        return text[:_MAX_CURSOR] if self._identity is None else encoded[self._identity]


def has_text(encoded: Any, wanted: str) -> bool:
    """Whether a value of the object, or an element of a list in it, contains the text, in any case."""
    values = encoded.values() if isinstance(encoded, Mapping) else (encoded,)
    return any(wanted in text.casefold() for value in values for text in _texts(value))


def next_link(path: str, query: Iterable[tuple[str, str]], position: tuple[str, str]) -> str:
    """The header Link of a page that another one follows. The signature of this request is not part of it."""
    kept = [(name, value) for name, value in query if name != position[0] and not name.startswith("oauth_")]
    return f'<{path}?{urlencode([*kept, position])}>; rel="next"'


async def list_reply(
    found: LongList[T] | Iterable[T], encode: Callable[[T], Any], *, headers: Mapping[str, str] | None = None
) -> Reply:
    """Returns a JSON array of the objects, without blanks. Raises the errors of reading the first of them.

    A list of one chunk becomes the body. Of a longer list, only two chunks have been read; the rest is read and encoded
    as the client receives it. By default the headers have the number of objects.
    """
    if isinstance(found, LongList):
        total, batches = len(found.keys), found.batches()
    else:
        in_memory = tuple(found)
        total, batches = len(in_memory), _at_once(in_memory)
    chunks = _chunks(batches, encode)
    try:
        first = await anext(chunks)
        second = await anext(chunks, None)
    except BaseException:
        await chunks.aclose()
        raise
    if headers is None:
        headers = {TOTAL: str(total)}
    if second is None:
        return Reply(status=200, body=first, content_type=JSON_UTF8, headers=headers)
    return Reply(status=200, content_type=JSON_UTF8, headers=headers, chunks=_joined(first, second, chunks))


async def _at_once(objects: Sequence[T]) -> AsyncGenerator[Sequence[T], None]:
    """Yields what is in memory already, as one batch."""
    yield objects


async def _chunks(found: AsyncGenerator[Sequence[T], None], encode: Callable[[T], Any]) -> AsyncGenerator[bytes, None]:
    """Yields at least one chunk, the last of which ends the array. Other tasks run between two chunks."""
    before, texts, length = "[", list[str](), 0
    async with aclosing(found) as batches:
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


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (str(value),)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list | tuple) else ()


def _is_scalar(schema: Schema) -> bool:
    alternatives = schema.get("anyOf")
    if alternatives is not None:
        return all(_is_scalar(one) or one.get("type") == "null" for one in alternatives)
    return schema.get("type") in _SCALARS


def _rank(value: Any) -> Rank:
    return (_NULL, 0) if value is None else (_ORDER_OF_TYPES.get(type(value), 2), value)


def _value_of(rank: Rank) -> Any:
    return None if rank[0] == _NULL else rank[1]


def _cursor(options: ListOptions, *, by_identity: bool, identity_is_number: bool) -> tuple[Rank, Rank] | None:
    """Raises InvalidRequest for the field `after`."""
    if not options.after:
        return None
    if not options.sort and by_identity:
        given = options.after
        return _rank(None), _rank(int(given) if identity_is_number and _INTEGER.fullmatch(given) else given)
    try:
        padded = options.after + "=" * (-len(options.after) % 4)
        value, identity = json.loads(urlsafe_b64decode(padded.encode("ascii")))
        if all(one is None or type(one) in _ORDER_OF_TYPES for one in (value, identity)):
            return _rank(value), _rank(identity)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        pass
    raise InvalidRequest.of({"after": ["This is not the position of a page with this order: begin without it."]})
