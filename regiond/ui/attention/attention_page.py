"""The page of all that needs attention, and the lines of it that pages of one object show."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from regiond.api.replies import Reply
from regiond.attention.model import AttentionFilter, AttentionGroup, AttentionKind, ObjectType
from regiond.ui.attention.attention_row import PAGE, AttentionRow, rows_of
from regiond.ui.attention.kind_words import kind_text, kind_title
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text

_FIRST = 10  # of each kind, on the page of all kinds
_SIZE = 50  # of a page of one kind
_ON_OBJECT = 5  # of each kind, on the page of an object
# Of a host; not of its VMs, which may be many. Its page says more of trust.
OF_HOSTS = tuple(
    kind
    for kind in AttentionKind
    if kind.startswith(("host_", "storage_pool_", "certificate_", "server_certificate_"))
    and kind is not AttentionKind.HOST_NOT_TRUSTED
)


@frozen(kw_only=True)
class ShownGroup:
    """The rows of a kind; `more_url` leads to all of them if these are only the first."""

    kind: AttentionKind
    title: str
    rows: tuple[AttentionRow, ...]
    more_url: str | None
    count: int


async def show(visit: Visit) -> Reply:
    request = visit.request
    kind = request.option("kind")
    wanted = AttentionFilter(
        kinds=(AttentionKind(kind),) if kind in set(AttentionKind) else (),
        zones=request.options("zone"),
        pools=request.options("pool"),
        text=request.option("q").strip(),
        host_id=int(host) if (host := request.option("host")).isdecimal() and len(host) < 10 else None,
    )
    number = request.option("page", "1")
    page = int(number) if number.isdecimal() and 0 < len(number) < 6 else 1
    size, offset = (_SIZE, (max(page, 1) - 1) * _SIZE) if wanted.kinds else (_FIRST, 0)
    groups = await visit.services.attention.groups(wanted, per_kind=size, offset=offset, caller=visit.caller)
    counts = await visit.services.attention.counts(caller=visit.caller)
    total = sum(group.count for group in groups)
    return await visit.page(
        "attention/list.html",
        title=text("Attention"),
        section=PAGE,
        groups=[_shown(visit, group) for group in groups],
        all_items=counts.total,
        total=total,
        kinds=[(one.value, kind_title(one), counts.kinds[one]) for one in AttentionKind if one in counts.kinds],
        wanted=wanted,
        host_name=next((item.host_name for group in groups for item in group.items), None) or wanted.host_id,
        kind=kind if wanted.kinds else "",
        zones=[zone.name for zone in await visit.services.groups.zones()],
        pools=[pool.name for pool in await visit.services.groups.pools(caller=visit.caller)],
        previous=request.url(page=str(page - 1) if page > 2 else None) if wanted.kinds and page > 1 else None,
        following=request.url(page=str(page + 1)) if wanted.kinds and offset + size < total else None,
        first=offset + 1,
    )


def _shown(visit: Visit, group: AttentionGroup) -> ShownGroup:
    is_part = len(group.items) < group.count and not visit.request.option("kind")
    return ShownGroup(
        kind=group.kind,
        title=kind_text(group.kind, group.count),
        rows=rows_of([group], visit.caller),
        more_url=visit.request.url(kind=group.kind.value, page=None) if is_part else None,
        count=group.count,
    )


async def attention_of(
    visit: Visit,
    *,
    object_type: ObjectType | None = None,
    object_id: str | None = None,
    host_id: int | None = None,
    kinds: Iterable[AttentionKind] = (),
) -> tuple[AttentionRow, ...]:
    """Returns the lines of an object, or of a host: what the list says of it."""
    wanted = AttentionFilter(kinds=tuple(kinds), object_type=object_type, object_id=object_id, host_id=host_id)
    groups = await visit.services.attention.groups(wanted, per_kind=_ON_OBJECT, caller=visit.caller)
    return rows_of(groups, visit.caller)


PAGES = (Page(path=PAGE, handle=show),)
