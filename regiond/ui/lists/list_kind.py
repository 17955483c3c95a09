"""The search, filters, groups and columns that the address of any list asks for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlencode

from attrs import field, frozen

from regiond.requests.search_query import Fields, term
from regiond.ui.texts import constant
from regiond.ui.web_request import WebRequest

_LABELS: Mapping[str, str] = {
    "state": constant("State"),
    "is": constant("Property"),
    "host": constant("Host"),
    "cluster": constant("Cluster"),
    "type": constant("Type"),
    "pool": constant("Pool"),
    "zone": constant("Zone"),
    "owner": constant("Owner"),
    "tag": constant("Tag"),
}
_GROUP, _QUICK, _COLUMNS, _TEXT, _PAGE = "group", "show", "columns", "q", "page"


@frozen(kw_only=True)
class ListKind:
    """A kind of list. `key` names whose saved filters it has.

    `filters` are parameters of its address that mean the same as a field of the search. `quick` are searches of one
    click, by the value of the parameter `show`. `columns` are those that can be hidden. `words` has words for values of
    filters that are no names.
    """

    key: str
    placeholder: str
    searched: str  # what free words are searched in
    example: str
    lacking: str  # a field that an object may lack
    fields: Fields
    filters: tuple[str, ...]
    words: Mapping[str, Mapping[str, str]] = field(factory=dict)
    quick: Mapping[str, str]
    columns: Mapping[str, str]
    groups: tuple[str, ...]

    def label(self, name: str) -> str:
        """Returns a filter or group in words."""
        return _LABELS[name]

    def word(self, name: str, value: str) -> str:
        return self.words.get(name, {}).get(value, value)


@frozen(kw_only=True)
class Chip:
    """A filter that applies, also in words; `without` is the address of the list without it."""

    name: str
    value: str
    label: str
    word: str
    without: str


@frozen(kw_only=True)
class Saved:
    """A saved filter, with the address of the list that it makes."""

    id: int
    name: str
    query: str
    url: str
    is_shown: bool


@frozen(kw_only=True)
class ListTools:
    """The parts above a list. `choices` are what the form of filters offers; `problems` are those of the search.

    `place` names the list whose columns are remembered; `columns` are those shown, of those that are `offered`.
    """

    kind: ListKind
    request: WebRequest
    path: str
    place: str
    offered: Mapping[str, str]
    columns: tuple[str, ...]
    choices: Mapping[str, Sequence[str]] = field(factory=dict)
    counts: Mapping[str, int] = field(factory=dict)
    saved: tuple[Saved, ...] = ()
    problems: Mapping[str, Sequence[str]] = field(factory=dict)
    exports: str = ""  # the address of the export, with a query

    def export(self, format_: str) -> str:
        """The address of all that matches as a file."""
        pairs = [("format", format_), *self.kept(_COLUMNS, "size", _GROUP)]
        return f"{self.exports}{'&' if '?' in self.exports else '?'}{urlencode(pairs)}"

    @property
    def text(self) -> str:
        return self.request.option(_TEXT)

    @property
    def whole(self) -> str:
        return whole_query(self.kind, self.request)

    @property
    def shown(self) -> str:
        return quick_of(self.kind, self.request)

    @property
    def group(self) -> str:
        return group_of(self.kind, self.request)

    @property
    def chips(self) -> list[Chip]:
        return chips(self.kind, self.request)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.whole)

    @property
    def can_save(self) -> bool:
        """Whether what is searched now can be saved as a filter."""
        return bool(self.whole) and not self.problems and not any(one.is_shown for one in self.saved)

    def kept(self, *but: str) -> list[tuple[str, str]]:
        return kept(self.request, *but)

    @property
    def query(self) -> str:
        """The query of the address without the page and the columns."""
        return urlencode(self.kept(_COLUMNS))

    @property
    def back(self) -> str:
        """The address of this list with what is searched now, and the columns that are remembered."""
        return self.path + (f"?{self.query}" if self.query else "")


def kept(request: WebRequest, *but: str) -> list[tuple[str, str]]:
    """Returns the parameters of the address without the page, empty ones and these."""
    left = {_PAGE, *but}
    return [(name, value) for name, value in request.query if name not in left and value]


def group_of(kind: ListKind, request: WebRequest) -> str:
    group = request.option(_GROUP)
    return group if group in kind.groups else ""


def quick_of(kind: ListKind, request: WebRequest) -> str:
    quick = request.option(_QUICK)
    return quick if quick in kind.quick else ""


def whole_query(kind: ListKind, request: WebRequest) -> str:
    """Returns the text of the search with what the filters of the address add to it."""
    quick = quick_of(kind, request)
    filters = [term(name, value) for name in kind.filters for value in request.options(name)]
    parts = (request.option(_TEXT).strip(), kind.quick[quick] if quick else "", *filters)
    return " ".join(part for part in parts if part)


def chips(kind: ListKind, request: WebRequest) -> list[Chip]:
    return [
        Chip(
            name=name,
            value=value,
            label=kind.label(name),
            word=kind.word(name, value),
            without=_without(request, name, value),
        )
        for name in kind.filters
        for value in request.options(name)
    ]


def _without(request: WebRequest, name: str, value: str) -> str:
    kept = [pair for pair in request.query if pair != (name, value) and pair[0] != _PAGE]
    return request.path + (f"?{urlencode(kept)}" if kept else "")


def shown_columns(
    request: WebRequest, offered: Collection[str], remembered: Collection[str] | None, default: Collection[str]
) -> tuple[str, ...]:
    """Returns those that the address names; else those that are remembered, else the default; in their order."""
    asked = [name for name in request.options(_COLUMNS) if name in offered]
    chosen = asked or (default if remembered is None else remembered)
    return tuple(name for name in offered if name in chosen)
