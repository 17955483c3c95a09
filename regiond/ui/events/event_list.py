"""A list of events with its filters, as the page of all events and the tabs of hosts and VMs show it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from attrs import evolve

from regiond.ui.events.event_export import FORMATS
from regiond.ui.events.event_filters import read_filters
from regiond.ui.forms.refusal import UNPROCESSABLE
from regiond.ui.lists.list_scope import ListScope
from regiond.ui.rendering.page import Visit
from regiond.ui.web_request import page_url

SECTION = "events"
_EVENTS = 50


async def event_list(visit: Visit, scope: ListScope) -> dict[str, Any]:
    """Returns the values of events/filtered.html, and the status of its page."""
    here, filters = evolve(visit.request, path=scope.path), await read_filters(visit, scope.fixed, limit=_EVENTS + 1)
    found = await visit.services.events.list(filters.wanted, caller=visit.caller) if filters.wanted else ()
    events = found[:_EVENTS]
    tasks = {one.operation_id for one in events if one.operation_id is not None}
    query = urlencode([(name, text) for name, text in filters.texts.items() if text])
    return {
        "status": UNPROCESSABLE if filters.problems else 200,
        "scope": scope,
        "here": here,
        "events": events,
        "filters": filters,
        "kept_tasks": await visit.services.operations.visible_ids(tasks, caller=visit.caller) if tasks else (),
        "kept_days": visit.services.events.retention.days,
        "exports": [(name, page_url(SECTION, "export", name) + (f"?{query}" if query else "")) for name in FORMATS],
        "older": here.url(before=str(events[-1].id)) if len(found) > _EVENTS else None,
        "newest": here.url(before=None) if here.option("before") else None,
    }
