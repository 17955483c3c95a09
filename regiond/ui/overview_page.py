"""The overview: what the fleet has, which hosts need attention and why, which tasks wait, what changed."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from common.expiry import NOTICE_DAYS
from regiond.api.replies import Reply
from regiond.events.model import EventFilter
from regiond.ui import formats
from regiond.ui.hosts.list_page import read_rows
from regiond.ui.meter import meter_of
from regiond.ui.page import Page, Visit

_EVENTS = 12
_TASKS = 10
_CERTIFICATES = 20
_EXPIRES_SOON = timedelta(days=max(NOTICE_DAYS))


async def show(visit: Visit) -> Reply:
    rows = await read_rows(visit)
    if not rows:
        return await visit.page("first_run.html", title="Welcome", section="overview")
    total = (await visit.services.hosts.capacity(caller=visit.caller)).fleet.capacity
    waiting = await visit.services.operations.list(states=("waiting", "undoing"), limit=_TASKS, caller=visit.caller)
    return await visit.page(
        "overview.html",
        title="Overview",
        section="overview",
        states_of_hosts=Counter((row.status.kind, row.status.icon, row.status.word) for row in rows).most_common(),
        hosts=len(rows),
        open_hosts=sum(row.status.is_open for row in rows),
        cores=meter_of("CPU cores", total.cores),
        memory=meter_of("RAM", total.memory_mib, unit="GiB", text=formats.gib),
        storage=meter_of("Storage", total.storage_bytes, unit="GB", text=formats.gb),
        attention=[row for row in rows if row.status.needs_attention],
        waiting=[(task, await visit.services.operations.wait_reason(task)) for task in waiting],
        certificates=await visit.services.hosts.expiring_certificates(
            visit.now + _EXPIRES_SOON, limit=_CERTIFICATES, caller=visit.caller
        ),
        events=await visit.services.events.list(EventFilter(limit=_EVENTS), caller=visit.caller),
    )


PAGES = (Page(path="overview", handle=show),)
