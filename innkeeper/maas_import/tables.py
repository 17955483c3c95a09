"""The rows that were kept of one database, within limits, and their values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen

from common.errors import InvalidRequest
from innkeeper.maas_import.copy_text import array_of, fields_of
from innkeeper.maas_import.wanted import TABLES, Values, Wanted

MAX_ROWS = 500_000  # of one table
MAX_KEPT_BYTES = 128 * 1024**2  # of all tables: about 100,000 machines; ten times as much in memory
MAX_LINE_BYTES = 16 * 1024**2


@frozen
class Row:
    """One row. A value that is not of its type is refused with the name of its table and column."""

    table: str
    values: Values

    def text(self, column: str) -> str:
        """The value; empty for NULL, and in schemas without this column."""
        return self.values.get(column) or ""

    def key(self, column: str) -> str | None:
        """The id of another row, or None."""
        return self.values.get(column)

    def integer(self, column: str) -> int:
        """The number; 0 for NULL."""
        return self.optional_integer(column) or 0

    def optional_integer(self, column: str) -> int | None:
        value = self.values.get(column)
        try:
            return None if value is None else int(value)
        except ValueError:
            raise self.refusal(column, "is no whole number") from None

    def real(self, column: str, default: float) -> float:
        value = self.values.get(column)
        try:
            found = default if value is None else float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise self.refusal(column, "is no number")
        return found

    def boolean(self, column: str, *, default: bool = False) -> bool:
        value = self.values.get(column)
        if value not in {None, "t", "f"}:
            raise self.refusal(column, "is neither t nor f")
        return default if value is None else value == "t"

    def array(self, column: str) -> tuple[str, ...]:
        """The items; none for NULL."""
        value = self.values.get(column)
        found = array_of(value) if value is not None else []
        if found is None:
            raise self.refusal(column, "is no array")
        return tuple(found)

    def integers(self, column: str) -> tuple[int, ...]:
        try:
            return tuple(int(one) for one in self.array(column))
        except ValueError:
            raise self.refusal(column, "has an item that is no whole number") from None

    def json(self, column: str) -> Any:
        """The value of a column of type jsonb; None for NULL."""
        value = self.values.get(column)
        try:
            return None if value is None else json.loads(value)
        except (ValueError, RecursionError):
            raise self.refusal(column, "is no JSON") from None

    def texts(self, column: str) -> Mapping[str, str]:
        """The texts of an object of JSON: what is no text there is left out."""
        value = self.json(column)
        if value is not None and not isinstance(value, dict):
            raise self.refusal(column, "is no object of JSON")
        return {name: one for name, one in (value or {}).items() if isinstance(one, str)}

    def refusal(self, column: str, problem: str) -> InvalidRequest:
        """An error that does not show the value, which may be a secret."""
        which = self.values.get("id")
        return InvalidRequest(
            f"{self.table}.{column}{f' of row {which}' if which else ''} {problem}: this is no data of MAAS, or the "
            "dump is damaged. Make a new dump."
        )


@define
class Kept:
    """The amount that was kept, of all databases of a dump."""

    size_bytes: int = 0


@define
class Tables:
    """The kept rows of one database by table. `columns` has also the tables without rows."""

    columns: dict[str, tuple[str, ...]] = field(factory=dict)
    rows: dict[str, list[Row]] = field(factory=dict)
    others: set[str] = field(factory=set)  # names of some tables that are not wanted, for messages
    kept: Kept = field(factory=Kept)

    def __getitem__(self, table: str) -> list[Row]:
        return self.rows.get(table, [])

    def has(self, table: str, column: str | None = None) -> bool:
        return table in self.columns and (column is None or column in self.columns[table])

    def by(self, table: str, column: str = "id") -> dict[str, Row]:
        """The rows by a column that identifies them."""
        return {value: row for row in self[table] if (value := row.values[column]) is not None}

    def grouped(self, table: str, column: str) -> dict[str, list[Row]]:
        """The rows by a column that several may share, in the order of their ids."""
        found: dict[str, list[Row]] = {}
        for row in self.ordered(table):
            if (value := row.values[column]) is not None:
                found.setdefault(value, []).append(row)
        return found

    def ordered(self, table: str) -> list[Row]:
        """The rows in the order of their ids: dumps have them in any order."""
        rows = self[table]
        return sorted(rows, key=lambda row: row.integer("id")) if rows and "id" in rows[0].values else rows


@define
class TableReader:
    """Keeps the rows of one table whose lines it is given."""

    into: Tables
    table: str
    columns: tuple[str, ...]
    _wanted: Wanted = field(init=False)
    _places: list[tuple[int, str]] = field(init=False)
    _rows: list[Row] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._wanted = TABLES[self.table]
        needed = {*self._wanted.columns, *self._wanted.later}
        self._places = [(place, name) for place, name in enumerate(self.columns) if name in needed]
        # A table whose columns are not those of MAAS is only noted: `schema.recognise` refuses it with all that it has.
        known = set(self._wanted.columns) <= set(self.columns)
        self.into.columns[self.table] = self.columns
        self._rows = self.into.rows.setdefault(self.table, [])
        if not known:
            self._places = []

    def add(self, line: bytes) -> None:
        """Keeps the row of the line (without its end). Raises InvalidRequest for what is no row, or one too many."""
        if not self._places:
            return
        fields = fields_of(line)
        if len(fields) != len(self.columns):
            raise InvalidRequest(
                f"A row of {self.table} has {len(fields)} values instead of {len(self.columns)}: the dump is damaged. "
                "Make a new dump."
            )
        try:
            values = {name: None if (one := fields[place]) is None else one.decode() for place, name in self._places}
        except UnicodeDecodeError:
            raise InvalidRequest(
                f"A row of {self.table} is not in UTF-8. Make the dump with pg_dump --encoding=UTF8."
            ) from None
        if not self._wanted.keep(values):
            return
        self.into.kept.size_bytes += sum(len(one) for one in values.values() if one)
        if len(self._rows) >= MAX_ROWS or self.into.kept.size_bytes > MAX_KEPT_BYTES:
            raise InvalidRequest(
                f"{self.table} is larger than an import reads: {MAX_ROWS:,} rows of a table, and "
                f"{MAX_KEPT_BYTES // 1024**2} MiB of all. Nothing was imported."
            )
        self._rows.append(Row(self.table, values))


def too_long(table: str) -> InvalidRequest:
    return InvalidRequest(
        f"A row of {table} is longer than {MAX_LINE_BYTES // 1024**2} MiB: this is no data of MAAS, or the dump is "
        "damaged."
    )
