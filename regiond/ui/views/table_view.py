"""Sorting, paging and searching of a table, which the query of the page's address holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from regiond.ui.web_request import WebRequest

T = TypeVar("T")

SIZES = (25, 50, 100, 200)
DEFAULT_SIZE = 50
_NEAR = 2
_ARIA = {False: "ascending", True: "descending"}


@frozen(kw_only=True)
class TableView(Generic[T]):
    """One page of a table. `total` counts what matches; `first` and `last` are positions, from 1 (0: nothing)."""

    request: WebRequest
    rows: Sequence[T]
    total: int
    page: int
    size: int
    sort: str
    descending: bool

    sizes = SIZES

    @property
    def first(self) -> int:
        return (self.page - 1) * self.size + 1 if self.total else 0

    @property
    def last(self) -> int:
        return min(self.page * self.size, self.total)

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def near_pages(self) -> Iterable[int]:
        return range(max(1, self.page - _NEAR), min(self.pages, self.page + _NEAR) + 1)

    @property
    def kept(self) -> Sequence[tuple[str, str]]:
        """The parameters that another page size keeps."""
        return [(name, value) for name, value in self.request.query if name not in {"size", "page"}]

    def page_url(self, page: int) -> str:
        return self.request.url(page=None if page == 1 else str(page))

    def sort_url(self, key: str) -> str:
        descends = key == self.sort and not self.descending
        return self.request.url(sort=f"-{key}" if descends else key, page=None)

    def direction_of(self, key: str) -> str | None:
        return _ARIA[self.descending] if key == self.sort else None


@frozen(kw_only=True)
class Wanted:
    """The table that the address asks for. An unknown column or size is that of no parameter."""

    sort: str
    descending: bool
    page: int
    size: int


def wanted(request: WebRequest, columns: Iterable[str], default: str) -> Wanted:
    asked = request.option("sort", default)
    key = asked.removeprefix("-")
    known = key in set(columns)
    size = request.option("size")
    page = request.option("page")
    return Wanted(
        sort=key if known else default.removeprefix("-"),
        descending=(asked if known else default).startswith("-"),
        page=int(page) if page.isdecimal() and 0 < len(page) < 7 and int(page) > 0 else 1,
        size=int(size) if size in map(str, SIZES) else DEFAULT_SIZE,
    )


def in_memory(
    request: WebRequest,
    rows: Iterable[T],
    columns: Mapping[str, Callable[[T], Any]],
    *,
    default: str,
    group: Callable[[T], Any] | None = None,
) -> TableView[T]:
    """Sorts and cuts rows that are all read: for lists of hundreds, not of thousands. Unknown values come last.

    Rows of one `group` stay together, the groups in the order of their values, or in that of the column if it has them.
    """
    asked = wanted(request, columns, default)
    value = columns[asked.sort]
    found = list(rows)
    known = sorted((row for row in found if value(row) is not None), key=value, reverse=asked.descending)
    ordered = [*known, *(row for row in found if value(row) is None)]
    if group is not None:
        places = {one: place for place, one in enumerate(_groups(ordered, group, in_order=group is value))}
        ordered.sort(key=lambda row: places[group(row)])
    page = min(asked.page, max(1, -(-len(ordered) // asked.size)))
    start = (page - 1) * asked.size
    return TableView(
        request=request,
        rows=ordered[start : start + asked.size],
        total=len(ordered),
        page=page,
        size=asked.size,
        sort=asked.sort,
        descending=asked.descending,
    )


def _groups(rows: Iterable[T], group: Callable[[T], Any], *, in_order: bool) -> list[Any]:
    """The groups in the order in which the rows have them, or sorted."""
    found = list(dict.fromkeys(map(group, rows)))
    return found if in_order else sorted(found)
