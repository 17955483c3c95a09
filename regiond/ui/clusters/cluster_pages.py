"""The list of clusters, and the pages of one: members, VMs, resources, settings."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from common.errors import InnkeeperError, NotFound
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_clusters import CLUSTER
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.shared.lookups import find_cluster
from regiond.clusters.model import ClusterView
from regiond.requests.caller import Permission
from regiond.ui.clusters.cluster_row import ClusterRow, cluster_row
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.question import ask
from regiond.ui.forms.refusal import Refusal
from regiond.ui.hosts.host_questions import cluster_closing_question
from regiond.ui.hosts.host_row import HostRow
from regiond.ui.hosts.list_page import read_rows
from regiond.ui.machines.machine_search import of_cluster
from regiond.ui.machines.vm_table import read_table
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import constant, counted, text
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url

TABS = (
    ("hosts", constant("Hosts")),
    ("vms", constant("VMs")),
    ("resources", constant("Resources")),
    ("settings", constant("Settings")),
)
LABELS = {"name": constant("Name"), "zone": constant("Zone"), "pool": constant("Resource pool")}
_COLUMNS = {
    "name": lambda row: row.name.lower(),
    "hosts": lambda row: row.hosts,
    "vms": lambda row: row.machines,
    "zone": lambda row: (row.zone, row.pool),
}


async def show_list(visit: Visit) -> Reply:
    rows = [cluster_row(cluster) for cluster in await visit.services.clusters.list(caller=visit.caller)]
    view = in_memory(visit.request, rows, _COLUMNS, default="name")
    return await visit.page("clusters/list.html", title=text("Clusters"), section="clusters", view=view)


async def to_hosts(visit: Visit) -> Reply:
    return redirect("clusters", (await _cluster(visit)).id, "hosts")


async def hosts(visit: Visit) -> Reply:
    cluster = await _cluster(visit)
    members = sorted(await _members(visit, cluster), key=lambda row: row.view.member or row.name)
    return await _page(visit, cluster, "hosts", members=members)


async def vms(visit: Visit) -> Reply:
    cluster = await _cluster(visit)
    workloads = await visit.services.machines.workloads(list(cluster.host_ids), caller=visit.caller)
    table = await read_table(visit, of_cluster(cluster.id, tuple(cluster.host_ids)))
    return await _page(
        visit,
        cluster,
        "vms",
        status=table.status,
        table=table,
        foreign=[(workload.host_name, guest) for workload in workloads for guest in workload.foreign],
    )


async def resources(visit: Visit) -> Reply:
    return await _page(visit, await _cluster(visit), "resources")


async def settings(visit: Visit) -> Reply:
    cluster = await _cluster(visit)

    async def send(changes: Mapping[str, str]) -> Reply:
        if not changes:
            return redirect("clusters", cluster.id, "settings")
        await visit.act(CLUSTER, "PUT", path={"id": str(cluster.id)}, fields=changes)
        return redirect_with_note(visit, "clusters", cluster.id, "settings", text=text("Saved."))

    return await forms.change(
        visit, values_of(cluster), partial(_settings, visit, cluster), send, absent_is_empty=False
    )


async def maintenance(visit: Visit) -> Reply:
    """Closes all members for placement after a question, or opens them again."""
    cluster = await _cluster(visit)
    path = {"id": str(cluster.id)}

    def done(state: str) -> Reply:
        return redirect_with_note(visit, "clusters", cluster.id, "hosts", text=text(state, name=cluster.name))

    async def close() -> Reply:
        reason = visit.request.given("reason").strip() or None
        await visit.act(CLUSTER, "POST", "maintenance", path=path, fields={"reason": reason})
        return done(constant("All members of {name} are closed for placement."))

    if visit.request.given("action") == "open":
        await visit.act(CLUSTER, "POST", "end_maintenance", path=path)
        return done(constant("All members of {name} are open for placement."))
    members = [row.name for row in await _members(visit, cluster)]
    return await ask(visit, cluster_closing_question(cluster.name, cluster.id, members), close)


async def refresh(visit: Visit) -> Reply:
    """Opens a refresh of each member, which run side by side. One that is gone or refuses does not stop the others."""
    cluster = await _cluster(visit)
    refused = []
    for host_id in cluster.host_ids:
        try:
            await visit.act(HOST, "POST", "refresh", path={"id": str(host_id)})
        except InnkeeperError as error:
            refused.append(error.message)
    if not (number := len(cluster.host_ids) - len(refused)):
        return redirect_with_note(visit, "clusters", cluster.id, "hosts", text=" ".join(refused))
    begun = counted(
        "The refresh of {n} member of {name} has begun.",
        "The refresh of {n} members of {name} has begun.",
        number,
        name=cluster.name,
    )
    tasks = (text("Tasks"), page_url("tasks"))
    return redirect_with_note(visit, "clusters", cluster.id, "hosts", text=" ".join([begun, *refused]), link=tasks)


def values_of(cluster: ClusterView) -> dict[str, str]:
    return {"name": cluster.name, "zone": cluster.zone.name, "pool": cluster.pool.name}


async def _settings(visit: Visit, cluster: ClusterView, edit: Edit, refusal: Refusal) -> Reply:
    zones = await visit.services.groups.zones()
    pools = await visit.services.groups.pools(caller=visit.caller)
    return await _page(
        visit,
        cluster,
        "settings",
        status=refusal.status,
        edit=edit,
        labels=LABELS,
        problems=refusal.problems,
        zones=[zone.name for zone in zones],
        pools=[pool.name for pool in pools],
        members=await _members(visit, cluster),
    )


async def _cluster(visit: Visit) -> ClusterView:
    return await find_cluster(visit.services, {"id": visit.path["cluster"]})


async def _members(visit: Visit, cluster: ClusterView) -> list[HostRow]:
    found = []
    for host_id in cluster.host_ids:
        with suppress(NotFound):  # removed since the cluster was read
            found.append(await visit.services.hosts.read(host_id, caller=visit.caller))
    return await read_rows(visit, found)


async def _page(visit: Visit, cluster: ClusterView, tab: str, *, status: int = 200, **values: Any) -> Reply:
    row: ClusterRow = cluster_row(cluster)
    members: list[HostRow] = values.pop("members", None) or await _members(visit, cluster)
    return await visit.page(
        f"clusters/{tab}.html",
        title=f"{row.name} – {dict(TABS)[tab]}",
        section="clusters",
        status=status,
        cluster=row,
        tab=tab,
        tabs=TABS if visit.caller.is_admin else TABS[:-1],
        members=members,
        away=sum(member.status.kind in {"bad", "wait"} for member in members),
        untrusted=next((member for member in members if member.advice), None),  # they share one certificate
        **values,
    )


PAGES = (
    Page(path="clusters", handle=show_list),
    Page(path="clusters/<cluster>", handle=to_hosts),
    Page(path="clusters/<cluster>/hosts", handle=hosts),
    Page(path="clusters/<cluster>/vms", handle=vms),
    Page(path="clusters/<cluster>/resources", handle=resources),
    *form_pages("clusters/<cluster>/settings", settings, permission=Permission.ADMIN),
    Page(path="clusters/<cluster>/refresh", method="POST", handle=refresh, permission=Permission.ADMIN),
    *form_pages("clusters/<cluster>/maintenance", maintenance, permission=Permission.ADMIN),
)
