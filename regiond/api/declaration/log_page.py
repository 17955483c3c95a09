"""Makes one page of a log, such as `operations/`: in the order of ids, with a bounded total."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from attrs import evolve, frozen

from regiond.api.declaration.field_types import Choice, Integer
from regiond.api.declaration.fields import Field, Values
from regiond.api.declaration.list_page import Page
from regiond.api.declaration.lists import MAX_LIMIT

T = TypeVar("T")

MAX_COUNTED = MAX_LIMIT  # a log has millions of rows: to count more would cost more than the largest page
_LARGEST_ID = 2**63 - 1
_OLDEST_FIRST = "id"


@frozen(kw_only=True)
class LogPosition:
    """The rows of a log that a request wants; None: from its beginning."""

    limit: int
    before_id: int | None
    after_id: int | None
    oldest_first: bool

    @classmethod
    def of(cls, values: Values) -> LogPosition:
        return cls(
            limit=values["limit"],
            before_id=values["before"],
            after_id=values["after"],
            oldest_first=values["sort"] == _OLDEST_FIRST,
        )


def log_fields(described: str) -> tuple[Field, ...]:
    """The fields `limit`, `before`, `after` and `sort`."""
    position = Integer(minimum=0, maximum=_LARGEST_ID)
    return (
        Field(
            "limit", Integer(minimum=1, maximum=MAX_LIMIT), f"Maximum number of {described} (default 100).", default=100
        ),
        Field("before", position, f"Only {described} with a lower id, for the next page."),
        Field("after", position, f"Only {described} with a higher id, for the next page with sort=id."),
        Field(
            "sort",
            Choice(choices=("-id", _OLDEST_FIRST)),
            "-id: newest first (default); id: oldest first. There is no other order.",
            default="-id",
        ),
    )


async def log_page(
    found: Sequence[T], position: LogPosition, *, id_of: Callable[[T], int], count: Callable[[int], Awaitable[int]]
) -> Page[T]:
    """Returns the page of `found`; a full page may be the last one.

    The first page has the total, which `count` counts up to its argument, unless that is more than MAX_COUNTED.
    """
    is_full = len(found) >= position.limit
    total = None
    if position.before_id is None and position.after_id is None:
        counted = await count(MAX_COUNTED + 1) if is_full else len(found)
        total = counted if counted <= MAX_COUNTED else None
    field = "after" if position.oldest_first else "before"
    return evolve(Page.by_id(found, limit=position.limit, field=field, id_of=id_of), total=total)
