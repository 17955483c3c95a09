"""The pages of one host: resources, tasks, events."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.shared.lookups import find_host
from regiond.ui.events.event_list import event_list
from regiond.ui.hosts.core_map import core_map
from regiond.ui.hosts.host_frame import TABS, host_page, read_guests, read_host
from regiond.ui.hosts.host_images import images_of
from regiond.ui.hosts.host_summary import pool_meters, sriov_ports
from regiond.ui.hosts.interface_page import interfaces_of
from regiond.ui.hosts.numa_cards import numa_cards
from regiond.ui.lists.kept_disks import kept_choices
from regiond.ui.lists.list_scope import of_host
from regiond.ui.lists.task_list import task_list
from regiond.ui.rendering.page import Page, Visit, redirect, redirect_with_note
from regiond.ui.usage.usage_card import usage_card


async def to_vms(visit: Visit) -> Reply:
    _, row = await read_host(visit)
    return redirect("hosts", row.id, "vms")


async def resources(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    nodes = await visit.services.hosts.numa(host.id)
    guests = await read_guests(visit, host)
    marked = visit.request.option("vm")
    cards, maps = numa_cards(nodes, guests), [core_map(node, guests, marked) for node in nodes]
    return await host_page(
        visit,
        row,
        "resources",
        nodes=list(zip(cards, maps, strict=True)),
        core_rows=[(one.node_id, row) for one in maps for row in one.rows],
        interfaces=await interfaces_of(visit, host),
        images=await images_of(visit, host),
        marked=marked,
        pools=pool_meters(host),
        usage=usage_card(await visit.services.usages.of_host(host, history=True)),
        functions=sriov_ports(host),
        kept_disks=kept_choices(visit.caller, await visit.services.kept_disks.list(visit.caller, host_id=host.id)),
    )


async def tasks(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    return await host_page(visit, row, "tasks", **await task_list(visit, of_host(host.id, "tasks")))


async def events(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    return await host_page(visit, row, "events", **await event_list(visit, of_host(host.id, "events")))


async def refresh(visit: Visit) -> Reply:
    host = await find_host(visit.services, {"id": visit.path["host"]})
    operation = await visit.act(HOST, "POST", "refresh", path={"id": str(host.id)})
    tab = visit.request.given("tab")
    return redirect_with_note(visit, "hosts", host.id, tab if tab in dict(TABS) else "vms", answer=operation)


PAGES = (
    Page(path="hosts/<host>", handle=to_vms),
    Page(path="hosts/<host>/resources", handle=resources),
    Page(path="hosts/<host>/tasks", handle=tasks),
    Page(path="hosts/<host>/events", handle=events),
    Page(path="hosts/<host>/refresh", method="POST", handle=refresh),
)
