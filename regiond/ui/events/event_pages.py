"""The event log: its events by filters, newest first, and all that match as a file."""

from __future__ import annotations

from common.errors import NotFound
from regiond.api.replies import Reply
from regiond.ui.events.event_export import FORMATS, exported
from regiond.ui.events.event_filters import read_filters
from regiond.ui.events.event_list import SECTION, event_list
from regiond.ui.lists.list_scope import everything
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text


async def show(visit: Visit) -> Reply:
    shown = await event_list(visit, everything(SECTION))
    return await visit.page("events/list.html", title=text("Events"), section=SECTION, **shown)


async def export(visit: Visit) -> Reply:
    """All events that match the filters. Invalid filters answer with the page that says what is wrong."""
    file = FORMATS.get(visit.path["format"])
    if file is None:
        raise NotFound(f"Events are exported as {' or '.join(FORMATS)}, not as {visit.path['format'][:40]!r}.")
    filters = await read_filters(visit)
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
