"""The saved filters and the columns that a user chose for a list."""

from __future__ import annotations

from urllib.parse import urlencode

from regiond.ui.lists.list_kind import ListKind, Saved, kept, whole_query
from regiond.ui.rendering.page import Visit


async def saved_filters(visit: Visit, kind: ListKind, path: str) -> tuple[Saved, ...]:
    """Returns those of the list by name, each with the address that uses it and keeps the order and the groups."""
    whole = whole_query(kind, visit.request)
    others = kept(visit.request, "q", "show", *kind.filters)
    return tuple(
        Saved(
            id=one.id,
            name=one.name,
            query=one.query,
            url=f"{path}?{urlencode([*others, ('q', one.query)])}",
            is_shown=one.query == whole,
        )
        for one in await visit.services.lists.filters(visit.caller, kind.key)
    )


async def chosen_columns(visit: Visit, place: str) -> tuple[str, ...] | None:
    """Returns the columns that the user chose; None: the default."""
    chosen = await visit.services.lists.columns_of(visit.caller, place)
    return None if chosen is None else chosen.columns
