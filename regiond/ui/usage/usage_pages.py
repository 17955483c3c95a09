"""The tiles of usage alone, for pages that show them already and ask again every ten seconds."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.api.resources.shared.lookups import find_host
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.usage.usage_card import usage_card


async def of_machine(visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    view = await visit.services.usages.of_machine(machine, history=True)
    return visit.fragment("components/usage_of_vm.html", vm=machine, usage=usage_card(view))


async def of_host(visit: Visit) -> Reply:
    host = await find_host(visit.services, {"id": visit.path["host"]})
    view = await visit.services.usages.of_host(host, history=True)
    return visit.fragment("components/hosts/usage_of_host.html", host=host, usage=usage_card(view))


PAGES = (
    Page(path="vms/<system_id>/usage", handle=of_machine),
    Page(path="hosts/<host>/usage", handle=of_host),
)
