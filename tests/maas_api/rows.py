"""The rows of a site by the columns with which they refer to each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

from tests.maas_site.tables import Row, Tables


class Rows:
    """`tables` with indexes. A test that changes rows makes a new one."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._index = cache(self._indexed)

    def all(self, table: str) -> Sequence[Row]:
        return self.tables.get(f"maasserver_{table}", self.tables.get(table, []))

    def where(self, table: str, column: str, value: Any) -> Sequence[Row]:
        return self._index(table, column).get(value, ())

    def one(self, table: str, value: Any, column: str = "id") -> Row:
        found = self.where(table, column, value)
        if len(found) != 1:
            raise LookupError(f"{table} has {len(found)} rows with {column} {value}")
        return found[0]

    def maybe(self, table: str, value: Any, column: str = "id") -> Row | None:
        found = self.where(table, column, value)
        return found[0] if found else None

    def _indexed(self, table: str, column: str) -> dict[Any, list[Row]]:
        found: dict[Any, list[Row]] = defaultdict(list)
        for row in self.all(table):
            found[row[column]].append(row)
        return dict(found)
