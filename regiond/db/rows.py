"""Makes values of rows, and an error of a field of a duplicate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import asyncpg
import attrs

from common.errors import InvalidRequest
from regiond.db.pool import Row

T = TypeVar("T")


def of_row(kind: type[T], row: Row, /, **others: Any) -> T:
    """Returns a `kind` whose attributes are the columns of the row with the same names, except for `others`.

    Raises KeyError for an attribute without a column. Further columns are ignored.
    """
    for name in _attribute_names(kind):  # type: ignore[arg-type]  # a class is hashable
        if name not in others:
            others[name] = row[name]
    return kind(**others)


@cache
def _attribute_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in attrs.fields(kind))


@contextmanager
def unique(field: str, message: str) -> Iterator[None]:
    """Raises InvalidRequest with the message for the field if a statement finds a duplicate."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise InvalidRequest.of({field: [message]}) from error
