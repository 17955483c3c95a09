"""Tells which requests of an endpoint cost much more than its others: values of `Endpoint.expensive`."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from regiond.api.declaration.fields import Submitted
from regiond.requests.long_list import BATCH

Cost = Callable[[Submitted], bool]  # whether a request with these fields is an expensive one


def with_any_of(*names: str) -> Cost:
    """Expensive with one of these fields, by which no index finds rows: the query may read a whole log."""
    return lambda submitted: any(_is_given(submitted, name) for name in names)


def unless_few(cheap: Iterable[str], *, named: Iterable[str]) -> Cost:
    """Expensive except for at most `BATCH` objects that a field of `named` names, or a page of at most as many.

    Any field that is neither named nor `cheap` makes the query read or sort all objects, however few are answered. So
    does `limit`, unless it is cheap because the database makes the pages.
    """
    counted = tuple(named)
    allowed = frozenset((*cheap, *counted))

    def is_expensive(submitted: Submitted) -> bool:
        if any(_is_given(submitted, name) for name in submitted if name not in allowed):
            return True
        counts = (sum(map(_is_text, submitted.get(name, ()))) for name in counted)
        return not (0 < _limit(submitted) <= BATCH or any(0 < count <= BATCH for count in counts))

    return is_expensive


def _is_given(submitted: Submitted, name: str) -> bool:
    return any(_is_text(value) for value in submitted.get(name, ()))


def _is_text(value: object) -> bool:
    return value is not None and bool(str(value).strip())


def _limit(submitted: Submitted) -> int:
    """0 without a limit of at most four digits."""
    text = str((submitted.get("limit") or ("",))[-1]).strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len("1000") else 0
