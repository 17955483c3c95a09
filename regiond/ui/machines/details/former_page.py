"""The VMs that Innkeeper no longer has: of removed hosts, and forgotten ones, with the way back to each."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text


async def show(visit: Visit) -> Reply:
    services, caller = visit.services, visit.caller
    detached = await services.adoption.detached(caller=caller)
    forgotten = await services.adoption.forgotten(caller=caller)
    found = await services.hosts.ids_of({one.host_name for one in forgotten}, caller=caller)
    return await visit.page(
        "machines/former.html",
        title=text("Detached and forgotten VMs"),
        section="vms",
        detached=detached,
        forgotten=forgotten,
        host_ids={name: next(iter(ids)) for name, ids in found.items() if ids},
    )


PAGES = (Page(path="vms/former", handle=show),)
