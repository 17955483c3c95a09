"""The event log: its events by filters, newest first, and all that match as a file."""

from __future__ import annotations

from urllib.parse import urlencode

from common.errors import NotFound
from regiond.api.replies import Reply
from regiond.ui.events.event_export import FORMATS, exported
from regiond.ui.events.event_filters import read_filters
from regiond.ui.forms.refusal import UNPROCESSABLE
from regiond.ui.page import Page, Visit
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

SECTION = "events"
_EVENTS = 50


async def show(visit: Visit) -> Reply:
    request, filters = visit.request, await read_filters(visit, limit=_EVENTS + 1)
    found = await visit.services.events.list(filters.wanted, caller=visit.caller) if filters.wanted else ()
    events = found[:_EVENTS]
    query = urlencode([(name, text) for name, text in filters.texts.items() if text])
    return await visit.page(
        "events/list.html",
        title=text("Events"),
        section=SECTION,
        status=UNPROCESSABLE if filters.problems else 200,
        events=events,
        filters=filters,
        kept_days=visit.services.events.retention.days,
        exports=[(name, page_url(SECTION, "export", name) + (f"?{query}" if query else "")) for name in FORMATS],
        older=request.url(before=str(events[-1].id)) if len(found) > _EVENTS else None,
        newest=request.url(before=None) if request.option("before") else None,
    )


async def export(visit: Visit) -> Reply:
    """All events that match the filters. Invalid filters answer with the page that says what is wrong."""
    file = FORMATS.get(visit.path["format"])
    if file is None:
        raise NotFound(f"Events are exported as {' or '.join(FORMATS)}, not as {visit.path['format'][:40]!r}.")
    filters = await read_filters(visit, limit=_EVENTS + 1)
    if filters.wanted is None:
        return await show(visit)
    name = f"events-{visit.now:%Y%m%d-%H%M%S}.{file.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    chunks = exported(visit, filters.wanted, file)
    return Reply(status=200, content_type=file.media_type, headers=headers, chunks=chunks)


PAGES = (
    Page(path="events", handle=show),
    Page(path="events/export/<format>", handle=export),
)
