"""The list of hosts: all backends in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from regiond.api.replies import Reply
from regiond.api.resources.shared.visibility import visible_host
from regiond.hosts.model import HostView
from regiond.ui.hosts.host_row import HostRow, host_row
from regiond.ui.page import Page, Visit
from regiond.ui.table_view import in_memory

_QUICK: Mapping[str, Callable[[HostRow], bool]] = {
    "open": lambda row: row.status.is_open,
    "attention": lambda row: row.status.needs_attention,
}
_COLUMNS: Mapping[str, Callable[[HostRow], Any]] = {
    "name": lambda row: row.name.lower(),
    "state": lambda row: row.status.word,
    "type": lambda row: row.type,
    "vms": lambda row: row.machines,
    "cores": lambda row: _free(row.view, "cores"),
    "memory": lambda row: _free(row.view, "memory_mib"),
    "storage": lambda row: _free(row.view, "storage_bytes"),
    "zone": lambda row: (row.zone, row.pool),
}
GROUPS: Mapping[str, Callable[[HostRow], str]] = {
    "type": lambda row: row.type,
    "zone": lambda row: row.zone,
    "pool": lambda row: row.pool,
    "cluster": lambda row: row.cluster or "no cluster",
    "state": lambda row: row.status.word,
}


def _free(host: HostView, resource: str) -> int | None:
    return None if host.capacity is None else getattr(host.capacity, resource).free


async def read_rows(visit: Visit, hosts: Iterable[HostView] | None = None) -> list[HostRow]:
    """All hosts that the caller may see, or these."""
    if hosts is None:
        found = await visit.services.hosts.long_list(caller=visit.caller)
        hosts = [host async for batch in found.batches() for host in batch]
    shown = [visible_host(visit.caller, host) for host in hosts]
    counts = await visit.services.hosts.guest_counts([host.id for host in shown])
    stale_after = timedelta(seconds=visit.services.attention.limits.stale_after_s)
    return [
        host_row(
            host,
            visit.now,
            machines=count.machines if count else 0,
            others=count.foreign if count else 0,
            stale_after=stale_after,
        )
        for host in shown
        for count in (counts.get(host.id),)
    ]


def _matches(row: HostRow, text: str) -> bool:
    facts = (row.name, row.address, row.project, row.pool, row.zone, row.cluster, *row.tags)
    return all(any(word in fact.lower() for fact in facts) for word in text.lower().split())


async def show(visit: Visit) -> Reply:
    request = visit.request
    rows = await read_rows(visit)
    counts = {name: sum(map(keep, rows)) for name, keep in _QUICK.items()}
    found = [row for row in rows if _matches(row, request.option("q"))]
    quick = request.option("show")
    if quick in _QUICK:
        found = [row for row in found if _QUICK[quick](row)]
    for field in ("zone", "pool", "type", "cluster"):
        if wanted := request.options(field):
            found = [row for row in found if getattr(row, field) in wanted]
    view = in_memory(request, found, _COLUMNS, default="name")
    group = request.option("group")
    return await visit.page(
        "hosts/list.html",
        title="Hosts",
        section="hosts",
        view=view,
        groups=_grouped(view.rows, group),
        group=group if group in GROUPS else "",
        group_names=tuple(GROUPS),
        all_hosts=len(rows),
        counts=counts,
        quick=quick,
        text=request.option("q"),
    )


def _grouped(rows: Iterable[HostRow], name: str) -> list[tuple[str, list[HostRow]]]:
    if name not in GROUPS:
        return [("", list(rows))]
    found: dict[str, list[HostRow]] = {}
    for row in rows:
        found.setdefault(GROUPS[name](row), []).append(row)
    return sorted(found.items())


PAGES = (Page(path="hosts", handle=show),)
