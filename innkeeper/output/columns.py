"""Columns: which value of an object a table shows, in which unit, and how important it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from innkeeper.output.cells import cell, title, whole

Row = Mapping[str, Any]
ESSENTIAL = 0  # the rank of columns that are never dropped
_ABSENT: tuple[Any, ...] = (None, "", [], {})


@frozen(kw_only=True)
class Unit:
    """Divides the API's numbers. Without a value it shows a dash."""

    name: str = ""
    divisor: float = 1
    digits: int = 0

    def text(self, value: Any) -> str:
        return f"{value / self.divisor:.{self.digits}f}" if _is_number(value) else "-"


@frozen(kw_only=True)
class Duration(Unit):
    """Shows seconds as `40s`, `8m`, `3h` or `12d`."""

    def text(self, value: Any) -> str:
        if not _is_number(value):
            return "-"
        for name, seconds in (("d", 86_400), ("h", 3600), ("m", 60)):
            if value >= 2 * seconds:
                return f"{int(value // seconds)}{name}"
        return f"{int(value)}s"


COUNT = Unit()
DURATION = Duration()
GIB_OF_MIB = Unit(name="GiB", divisor=1024, digits=1)
GIB_OF_BYTES = Unit(name="GiB", divisor=1024**3, digits=2)
GB = Unit(name="GB", divisor=1000**3, digits=1)
WHOLE_GB = Unit(name="GB", divisor=1000**3)
GB_OF_MB = Unit(name="GB", divisor=1000, digits=1)
RATIO = Unit(digits=2)
PER_CENT = Unit(name="%", digits=1)
KB_PER_S_OF_BYTES = Unit(name="kB/s", divisor=1000, digits=1)


@frozen(kw_only=True)
class Column:
    """One column of a list, or one line of an object.

    `key` is a path such as `zone.name`. With `of`, the path of a total, the column shows `1/4`. Where a terminal is too
    narrow, `short` replaces the heading, cells lose the prefix `short_without`, and then columns of a higher `rank` are
    dropped earlier. A column is not shown if no row has a value, if all rows have the `usual` one or the same as the
    key `same_as`, or if a row has `unless`. `prose` is text that moves below its row.
    """

    key: str
    title: str
    unit: Unit | None = None
    of: str = ""
    rank: int = 1
    usual: Any = None
    same_as: str = ""
    unless: str = ""
    prose: bool = False
    short: str = ""
    short_without: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title} {self.unit.name}" if self.unit and self.unit.name else self.title

    @property
    def is_right(self) -> bool:
        return self.unit is not None

    def is_named(self, word: str) -> bool:
        """Whether `word` of `--columns` or `--sort` means this column."""
        return word in (self.key, self.title, self.title.replace(" ", "_")) or (word != "" and word == self.short)

    def value(self, row: Row) -> Any:
        """The raw value, for sorting and JSON; None if there is none."""
        return value_at(row, self.key)

    def text(self, row: Row) -> str:
        """In a list, where the heading names the unit."""
        value = self.value(row)
        if self.unit is None:
            return cell(value)
        if not self.of:
            return self.unit.text(value)
        return f"{self.unit.text(value)}/{self.unit.text(value_at(row, self.of))}"

    def line(self, row: Row) -> str:
        """In an object, with the unit: `1.0 of 8.0 GiB`."""
        value = self.value(row)
        if self.unit is None or not (_is_number(value) or self.of):
            return whole(value) if isinstance(value, str) else cell(value)
        text = (
            f"{self.unit.text(value)} of {self.unit.text(value_at(row, self.of))}" if self.of else self.unit.text(value)
        )
        return f"{text} {self.unit.name}".rstrip()

    def is_shown(self, rows: Sequence[Row]) -> bool:
        """Whether it says something about one of the rows."""
        if self.unless and any(_is_present(value_at(row, self.unless)) for row in rows):
            return False
        return any(self._says(row) for row in rows)

    def _says(self, row: Row) -> bool:
        value = value_at(row, self.of) if self.of else self.value(row)
        if not _is_present(value) or (self.usual is not None and self.usual in (value, cell(value))):
            return False
        return not self.same_as or value != value_at(row, self.same_as)


def column(key: str, heading: str = "", **more: Any) -> Column:
    """A column; its heading is the last part of the key unless given."""
    return Column(key=key, title=heading or title(key.rpartition(".")[2]), **more)


def value_at(row: Any, path: str) -> Any:
    """The value at a path such as `zone.name`; None if there is none."""
    found = row
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def find(word: str, known: Sequence[Column], rows: Sequence[Any]) -> Column | None:
    """The column that a user names: one of `known`, or any path that a row has."""
    for one in known:
        if one.is_named(word):
            return one
    if any(_has(row, word) for row in rows):
        return column(word, word.replace("_", " "))
    return None


def _has(row: Any, path: str) -> bool:
    parent, _, last = path.rpartition(".")
    found = value_at(row, parent) if parent else row
    return isinstance(found, dict) and last in found


def _is_present(value: Any) -> bool:
    return not any(value is absent or (type(value) is type(absent) and value == absent) for absent in _ABSENT)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
