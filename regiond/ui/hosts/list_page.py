"""The list of hosts: all backends in one table. Only the hosts of the page are read as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import frozen

from common.errors import InvalidRequest
from common.values import DriverType
from regiond.api.replies import Reply
from regiond.hosts.model import HostView
from regiond.hosts.search.fields import HOST_FIELDS, HostFacts, Needs
from regiond.hosts.views.host_condition import HostCondition
from regiond.machines.values.search import MachineColumn
from regiond.ui.hosts.host_row import HostRow, host_row, type_name, word_of
from regiond.ui.lists.choices import chosen_columns, saved_filters
from regiond.ui.lists.list_kind import ListKind, ListTools, shown_columns, whole_query
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import constant, text
from regiond.ui.views.table_view import in_memory, wanted
from regiond.ui.web_request import page_url

HOSTS = ListKind(
    key="hosts",
    placeholder=constant("Name, address, tag, or zone:east"),
    searched=constant("name, address, project, pool, zone, cluster and tags"),
    example=constant("zone:east is:open"),
    lacking="tag",
    fields=HOST_FIELDS,
    filters=("state", "zone", "pool", "cluster", "type", "tag"),
    words={
        "state": {condition.value: word_of(condition) for condition in HostCondition},
        "type": {"lxd": "LXD", "incus": "Incus"} | {"simulated": constant("simulated")},
    },
    quick={"open": "is:open", "attention": "is:attention"},
    columns={
        "type": constant("Type"),
        "vms": constant("VMs"),
        "cpu": constant("CPU cores"),
        "ram": constant("RAM"),
        "storage": constant("Storage"),
        "cpu_used": constant("CPU used"),
        "ram_used": constant("RAM used"),
        "zone": constant("Zone, pool"),
        "tags": constant("Tags"),
    },
    groups=("type", "zone", "pool", "cluster", "state"),
)


def _type(host: HostFacts) -> str:
    return type_name(host.driver, product=host.product, in_cluster=host.cluster is not None)


def _word_of_type(host: HostFacts) -> str:
    return host.product.lower() or ("libvirt" if host.driver is DriverType.LIBVIRT else host.driver.value)


def _free(host: HostFacts, resource: str) -> int | None:
    return None if host.capacity is None else getattr(host.capacity, resource).free


_COLUMNS: Mapping[str, Callable[[HostFacts], Any]] = {
    "name": lambda host: host.name.lower(),
    "state": lambda host: word_of(host.judgement.condition),
    "type": _type,
    "vms": lambda host: host.machines,
    "cores": lambda host: _free(host, "cores"),
    "memory": lambda host: _free(host, "memory_mib"),
    "storage": lambda host: _free(host, "storage_bytes"),
    "zone": lambda host: (host.zone, host.pool),
}
_USED = {"cpu_used": MachineColumn.CPU_USED, "ram_used": MachineColumn.RAM_USED}
_BY_CAPACITY = frozenset({"cores", "memory", "storage", *_USED})
_SHOWN = tuple(name for name in HOSTS.columns if name not in _USED)  # more do not fit beside the meters
_GROUPS: Mapping[str, Callable[[HostFacts], str]] = {
    "type": _type,
    "zone": lambda host: host.zone,
    "pool": lambda host: host.pool,
    "cluster": lambda host: host.cluster or text("no cluster"),
    "state": lambda host: word_of(host.judgement.condition),
}


@frozen(kw_only=True)
class Group:
    """Hosts that are together in the table. `size` counts those on all pages."""

    name: str
    size: int
    rows: Sequence[HostRow]


async def read_rows(visit: Visit, hosts: Iterable[HostView] | None = None) -> list[HostRow]:
    """All hosts that the caller may see, or these."""
    if hosts is None:
        found = await visit.services.hosts.long_list(caller=visit.caller)
        hosts = [host async for batch in found.batches() for host in batch]
    shown = list(hosts)
    counts = await visit.services.hosts.guest_counts([host.id for host in shown])
    return [
        host_row(
            host,
            visit.now,
            machines=count.machines if count else 0,
            others=count.foreign if count else 0,
            stale_after=visit.services.hosts.stale_after,
        )
        for host in shown
        for count in (counts.get(host.id),)
    ]


async def rows_of(visit: Visit, facts: Iterable[HostFacts]) -> list[HostRow]:
    """These hosts, as far as they still exist, in their order."""
    ids = [host.id for host in facts]
    rows = {
        row.id: row for row in await read_rows(visit, await visit.services.hosts.read_all(ids, caller=visit.caller))
    }
    return [rows[host_id] for host_id in ids if host_id in rows]


async def show(visit: Visit) -> Reply:
    request, hosts = visit.request, visit.services.hosts
    problems: Mapping[str, Sequence[str]] = {}
    sort = wanted(request, {*_COLUMNS, *_USED}, "name").sort
    needs = Needs(machines=sort == "vms", capacity=sort in _BY_CAPACITY)
    try:
        search = await hosts.search(whole_query(HOSTS, request), caller=visit.caller, needs=needs)
        found = search.found
    except InvalidRequest as error:
        problems = error.fields
        search, found = await hosts.search("", caller=visit.caller), ()
    tools = ListTools(
        kind=HOSTS,
        request=request,
        path=page_url("hosts"),
        place="hosts",
        offered=HOSTS.columns,
        columns=shown_columns(request, HOSTS.columns, await chosen_columns(visit, "hosts"), _SHOWN),
        choices={
            "state": tuple(HOSTS.fields["state"].choices),
            "type": sorted({_word_of_type(host) for host in search.hosts}),
            **{name: search.names[name] for name in ("zone", "pool", "cluster", "tag")},
        },
        counts={
            "": len(search.hosts),
            "open": sum(host.judgement.is_open for host in search.hosts),
            "attention": sum(host.needs_attention for host in search.hosts),
        },
        saved=await saved_filters(visit, HOSTS, page_url("hosts")),
        problems=problems,
        exports=page_url("hosts", "export", query={"within": ""}),
    )
    group = _GROUPS.get(tools.group)
    columns = {**_COLUMNS, **await _used_columns(visit, sort)}
    view = in_memory(request, found, columns, default="name", group=group)
    rows = await rows_of(visit, view.rows)
    return await visit.page(
        "hosts/list.html",
        title=text("Hosts"),
        section="hosts",
        status=422 if problems and not request.is_htmx else 200,
        tools=tools,
        view=view,
        groups=_grouped(view.rows, rows, found, group),
        usage=await visit.services.usages.of_hosts([row.view for row in rows]) if {*_USED} & {*tools.columns} else {},
        marked={host.id for host in view.rows if host.needs_attention and not host.judgement.needs_attention},
        all_hosts=len(search.hosts),
    )


async def _used_columns(visit: Visit, sort: str) -> Mapping[str, Callable[[HostFacts], Any]]:
    """The columns of what hosts use now, as shares of what they have; their values only for the one that sorts."""
    amounts = await visit.services.usages.amounts_of_hosts(_USED[sort]) if sort in _USED else {}

    def share(host: HostFacts, resource: str) -> float | None:
        whole = 0 if host.capacity is None else getattr(host.capacity, resource).total
        return amounts[host.id] / whole if host.id in amounts and whole else None

    return {"cpu_used": partial(share, resource="cores"), "ram_used": partial(share, resource="memory_mib")}


def _grouped(
    facts: Iterable[HostFacts],
    rows: Sequence[HostRow],
    found: Iterable[HostFacts],
    group: Callable[[HostFacts], str] | None,
) -> list[Group]:
    """One group without a name if the list is not grouped."""
    if group is None:
        return [Group(name="", size=len(rows), rows=rows)]
    sizes, names = Counter(map(group, found)), {host.id: group(host) for host in facts}
    together: dict[str, list[HostRow]] = {}
    for row in rows:
        together.setdefault(names[row.id], []).append(row)
    return [Group(name=name, size=sizes[name], rows=some) for name, some in together.items()]


PAGES = (Page(path="hosts", handle=show),)
