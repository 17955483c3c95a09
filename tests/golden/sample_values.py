"""Samples of values: one of any type that a frame carries, equal in every run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from itertools import chain
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import attrs

T = TypeVar("T")

NOON = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
_PLAIN: Mapping[Any, Any] = {
    int: 7, float: 1.5, bool: True, bytes: b"\x00\xff", NoneType: None, datetime: NOON, UUID: UUID(int=7),
    Any: {"key": "any"},
}  # fmt: skip
# What validators accept where they reject the others: SHA-256 sums, MAC addresses, small numbers and so on.
_OTHER_TEXTS = ("a" * 64, "52:54:00:00:00:07", "7", "10.0.0.7", "/seven")
_OTHER_NUMBERS = (1, 0, 100, 1024)


def sample(kind: type[T], *, smallest: bool = False) -> T:
    """Returns a value with everything that a value of this type can have; `smallest`: only what it must have.

    Collections have one element, a union is its first type but None, an enumeration its first member. Raises TypeError
    for a type that has no sample, and the validator's error for a class of which none is valid.
    """
    found: T = next(_samples(kind, kind.__name__.lower(), smallest=smallest))
    return found


def enumerations(kinds: Iterable[Any]) -> dict[str, list[Any]]:
    """Returns the values of each enumeration within these types, by name: a sample has only the first."""
    waiting, seen = list(kinds), set[Any]()
    while waiting:
        if (kind := waiting.pop()) in seen or kind is Ellipsis:
            continue
        seen.add(kind)
        is_class = isinstance(kind, type) and attrs.has(kind)
        waiting += get_type_hints(kind).values() if is_class else get_args(kind)
    found = (kind for kind in seen if isinstance(kind, type) and issubclass(kind, Enum))
    return {kind.__name__: [one.value for one in kind] for kind in sorted(found, key=lambda kind: kind.__name__)}


def _samples(kind: Any, name: str, *, smallest: bool) -> Iterator[Any]:
    """Samples of a type for a field of this name, the preferred one first."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        yield from _of_union(arguments, name, smallest=smallest)
    elif origin is Literal:
        yield from arguments
    elif isinstance(kind, type) and attrs.has(kind):
        yield _of_class(kind, smallest=smallest)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from kind
    elif kind is str:
        yield from (f"a {name}", *_OTHER_TEXTS)
    elif kind in _PLAIN:
        yield from (_PLAIN[kind], *(_OTHER_NUMBERS if kind is int else ()))
    else:
        yield from _of_collection(origin or kind, arguments, name, smallest=smallest)


def _of_union(arguments: Sequence[Any], name: str, *, smallest: bool) -> Iterator[Any]:
    if smallest and NoneType in arguments:
        yield None
    yield from chain(*(_samples(one, name, smallest=smallest) for one in arguments if one is not NoneType))


def _of_collection(kind: Any, arguments: Sequence[Any], name: str, *, smallest: bool) -> Iterator[Any]:
    if not arguments:
        raise TypeError(f"no sample of {kind} for {name}")
    if issubclass(kind, Mapping):
        keys, values = (_samples(one, name, smallest=smallest) for one in arguments)
        yield {next(keys): next(values)}
    elif kind is tuple and arguments[-1] is not Ellipsis:
        yield tuple(next(_samples(one, name, smallest=smallest)) for one in arguments)
    else:
        concrete = next((one for one in (tuple, list, set, frozenset) if issubclass(one, kind)), tuple)
        for element in _samples(arguments[0], name, smallest=smallest):
            yield concrete((element,))


def _of_class(kind: Any, *, smallest: bool) -> Any:
    """Each field has the first sample that the class accepts beside those of the fields before it."""
    hints = get_type_hints(kind)
    fields = [one for one in attrs.fields(kind) if one.init and not (smallest and one.default is not attrs.NOTHING)]
    choices = {one.name: list(_samples(hints[one.name], one.name, smallest=smallest)) for one in fields}
    values = {name: each[0] for name, each in choices.items()}
    error: Exception | None = None
    for name in [None, *choices]:
        for value in choices[name] if name is not None else (None,):
            tried = values if name is None else values | {name: value}
            try:
                return kind(**{str(attrs.fields_dict(kind)[each].alias): one for each, one in tried.items()})
            except (ValueError, TypeError) as raised:
                error = raised
    raise TypeError(f"no sample of {kind.__name__} is valid") from error
