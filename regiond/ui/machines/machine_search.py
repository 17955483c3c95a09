"""The search that the address of a table of VMs asks for: of all, of one host, or of a cluster."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from regiond.api.resources.shared.lookups import find_cluster, find_host
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.machines.values.search import USED, MachineColumn, MachineGroup, MachineSearch
from regiond.machines.values.used import UsedAmounts
from regiond.ui.lists.list_kind import ListKind, group_of, whole_query
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant
from regiond.ui.views.table_view import Wanted, wanted
from regiond.ui.web_request import WebRequest, page_url
from regiond.ui.words.vm_state_words import VM_STATE_WORDS

PROPERTY_WORDS: Mapping[str, str] = {
    "stock": constant("Stock"),
    "in_use": constant("In use without owner"),
    "idle": constant("Idle for a week"),
    "at_limit": constant("At its limit"),
    "attention": constant("Needs attention"),
    "locked": constant("Locked"),
    "adopted": constant("Adopted"),
}
VMS = ListKind(
    key="vms",
    placeholder=constant("Name, address, tag, or pool:staging"),
    searched=constant("name, id, addresses, MACs, tags, description, host, owner and pool"),
    example=constant("pool:staging state:failed"),
    lacking="owner",
    fields=MACHINE_FIELDS,
    filters=("state", "is", "host", "pool", "zone", "owner", "tag"),
    words={"is": PROPERTY_WORDS, "state": {**VM_STATE_WORDS, "failed_release": constant("Failed release")}},
    quick={"running": "power:on", "off": "power:off", "attention": "is:attention"},
    columns={
        "host": constant("Host"),
        "addresses": constant("Addresses"),
        "cores": constant("Cores"),
        "memory": constant("RAM, storage"),
        "cpu_used": constant("CPU used"),
        "ram_used": constant("RAM used"),
        "disk_used": constant("Disk"),
        "network_used": constant("Network"),
        "pool": constant("Pool, tags"),
        "owner": constant("Owner"),
        "task": constant("Last task"),
    },
    groups=tuple(group.value for group in MachineGroup),
)
NO_GROUP: Mapping[str, str] = {"host": constant("no host"), "owner": constant("no owner")}
_COLUMNS = tuple(column.value for column in MachineColumn)
_HOST, _CLUSTER = "host-", "cluster-"


_ON_REQUEST = {"ram_used", "disk_used", "network_used"}
_SHOWN = tuple(name for name in VMS.columns if name not in _ON_REQUEST)


@frozen(kw_only=True)
class Scope:
    """The VMs that a list is about, and its address. `within` names it in forms; `place` remembers its columns."""

    path: str
    place: str = "vms"
    within: str = ""
    host_ids: tuple[int, ...] | None = None
    columns: Mapping[str, str] = VMS.columns
    default: tuple[str, ...] = _SHOWN
    live: str = "vms tasks"


EVERYWHERE = Scope(path=page_url("vms"))
_WITHOUT_HOST = {name: label for name, label in VMS.columns.items() if name != "host"}
_WITHOUT_TASK = tuple(name for name in _SHOWN if name != "task")


def of_host(host_id: int) -> Scope:
    return Scope(
        path=page_url("hosts", host_id, "vms"),
        place="host-vms",
        within=f"{_HOST}{host_id}",
        host_ids=(host_id,),
        columns=_WITHOUT_HOST,
        default=tuple(name for name in _WITHOUT_TASK if name != "host"),
        live=f"host-{host_id}",
    )


def of_cluster(cluster_id: int, host_ids: tuple[int, ...]) -> Scope:
    return Scope(
        path=page_url("clusters", cluster_id, "vms"),
        place="cluster-vms",
        within=f"{_CLUSTER}{cluster_id}",
        host_ids=host_ids,
        default=_WITHOUT_TASK,
        live="hosts vms",
    )


async def scope_of(visit: Visit, within: str) -> Scope:
    """Returns the scope that a form names. Raises NotFound for a host or cluster that the caller may not see."""
    if within.startswith(_HOST):
        return of_host((await find_host(visit.services, {"id": within.removeprefix(_HOST)})).id)
    if within.startswith(_CLUSTER):
        cluster = await find_cluster(visit.services, {"id": within.removeprefix(_CLUSTER)})
        return of_cluster(cluster.id, tuple(cluster.host_ids))
    return EVERYWHERE


def table_wanted(request: WebRequest) -> Wanted:
    return wanted(request, _COLUMNS, "name")


async def read_search(visit: Visit, request: WebRequest, scope: Scope) -> MachineSearch:
    """Everything but the page that is shown. Raises InvalidRequest for the field `q`."""
    asked, group = table_wanted(request), group_of(VMS, request)
    sort = MachineColumn(asked.sort)
    return MachineSearch(
        query=await visit.services.machines.read_query(whole_query(VMS, request), caller=visit.caller),
        host_ids=scope.host_ids,
        group=MachineGroup(group) if group else None,
        sort=sort,
        descending=asked.descending,
        used=await visit.services.usages.amounts(sort) if sort in USED else UsedAmounts(),
    )
