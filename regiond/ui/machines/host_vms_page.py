"""The VMs of one host, as a table like that of all VMs or by NUMA node, and its other guests."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.ui.hosts.host_frame import host_page, read_guests, read_host
from regiond.ui.hosts.host_summary import host_summary
from regiond.ui.hosts.numa_cards import numa_cards
from regiond.ui.machines.machine_search import of_host
from regiond.ui.machines.vm_table import read_table
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.usage.usage_card import usage_card


async def show(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    (workload,) = await visit.services.machines.workloads([host.id], caller=visit.caller)
    nodes = await visit.services.hosts.numa(host.id)
    by_node = visit.request.option("view") == "numa" and bool(nodes)
    table = None if by_node else await read_table(visit, of_host(host.id))
    return await host_page(
        visit,
        row,
        "vms",
        status=table.status if table else 200,
        table=table,
        adopted=[one for one in sorted(workload.machines, key=lambda one: one.hostname) if one.adopted],
        foreign=workload.foreign,
        summary=host_summary(host),
        usage=usage_card(await visit.services.usages.of_host(host, history=True)),
        has_nodes=bool(nodes),
        nodes=numa_cards(nodes, await read_guests(visit, host)) if by_node else (),
    )


PAGES = (Page(path="hosts/<host>/vms", handle=show),)
