"""The list of VMs: searched, filtered, sorted, grouped and cut in the database."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.ui.machines.machine_search import EVERYWHERE
from regiond.ui.machines.vm_table import read_table
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import text


async def show(visit: Visit) -> Reply:
    table = await read_table(visit, EVERYWHERE)
    return await visit.page("machines/list.html", title=text("VMs"), section="vms", status=table.status, table=table)


PAGES = (Page(path="vms", handle=show),)
