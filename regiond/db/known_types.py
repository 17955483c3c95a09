"""Connections that remember PostgreSQL's own types, such as `integer[]`, for the whole process.

asyncpg asks the server what they consist of on every new connection, with a query that takes the server 10 ms. In a
test run, that was a quarter of its work. There is no public setting for it: a test fails with a release of asyncpg that
works differently.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

if TYPE_CHECKING:
    _Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:  # it cannot be subscripted at run time
    _Connection = asyncpg.Connection

FIRST_VARYING_OID = 10_000  # those below are in PostgreSQL's sources, the same in every database
_COMPOSITE = b"c"  # rows of the system catalog, whose columns differ between releases

_known: dict[frozenset[int], list[asyncpg.Record]] = {}


def forget() -> None:
    """Makes the next connection ask again, as in a new process."""
    _known.clear()


class Connection(_Connection):
    """A connection of asyncpg that remembers PostgreSQL's own types for the whole process."""

    async def _introspect_types(
        self, typeoids: Iterable[int], timeout: float | None
    ) -> tuple[list[asyncpg.Record], Any]:
        wanted = frozenset(typeoids)
        if wanted in _known:
            # With a name: asyncpg does not prepare its unnamed statement, which no query has replaced, again.
            return _known[wanted], SimpleNamespace(name="known")
        types, statement = await super()._introspect_types(typeoids, timeout)  # type: ignore[misc]
        if max(wanted) < FIRST_VARYING_OID and not any(one["kind"] == _COMPOSITE for one in types):
            _known[wanted] = types
        return types, statement
