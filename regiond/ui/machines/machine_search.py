"""The search, filters, groups and page that the address of the list of VMs asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import urlencode

from attrs import evolve, frozen

from regiond.machines.model import MachineColumn, MachineSearch, MachineState, MachineView
from regiond.ui.page import Visit
from regiond.ui.table_view import Wanted, wanted
from regiond.ui.web_request import WebRequest

QUICK: Mapping[str, MachineSearch] = {
    "running": MachineSearch(power_states=("on",)),
    "off": MachineSearch(power_states=("off",)),
    "attention": MachineSearch(
        states=(MachineState.MISSING, MachineState.BROKEN, MachineState.FAILED, MachineState.FAILED_COMPOSE)
    ),
}
OPTIONAL_COLUMNS: Mapping[str, str] = {
    "host": "Host",
    "addresses": "Addresses",
    "cores": "Cores",
    "memory": "RAM, storage",
    "pool": "Pool, tags",
    "owner": "Owner",
    "task": "Last task",
}
FILTERS = ("state", "host", "pool", "zone", "owner", "tag")
_COLUMNS = tuple(column.value for column in MachineColumn)
_STATES = {state.value for state in MachineState}
_NO_HOST = (0,)  # matches none: the host that the address names does not exist, or may not be seen
GROUPS: Mapping[str, Callable[[MachineView], str]] = {
    "host": lambda vm: vm.host_name or "no host",
    "state": lambda vm: vm.state.value,
    "pool": lambda vm: vm.pool.name,
    "owner": lambda vm: vm.owner or "no owner",
}


@frozen(kw_only=True)
class Chip:
    """A filter that applies; `without` is the address of the list without it."""

    name: str
    value: str
    without: str


def group_of(request: WebRequest) -> str:
    group = request.option("group")
    return group if group in GROUPS else ""


def shown_columns(request: WebRequest) -> tuple[str, ...]:
    """Returns those that the address names, beside name and state; all if it names none."""
    asked = request.options("columns")
    return tuple(name for name in OPTIONAL_COLUMNS if name in asked or not asked)


def table_wanted(request: WebRequest) -> Wanted:
    """A grouped list is sorted by what groups it."""
    asked = wanted(request, _COLUMNS, "name")
    group = group_of(request)
    return evolve(asked, sort=group, descending=asked.descending and asked.sort == group) if group else asked


async def read_search(visit: Visit, request: WebRequest) -> MachineSearch:
    """Everything but the page that is shown."""
    asked, quick = table_wanted(request), QUICK.get(request.option("show"), MachineSearch())
    states = tuple(MachineState(value) for value in request.options("state") if value in _STATES)
    return MachineSearch(
        text=request.option("q").strip(),
        states=quick.states or states,
        power_states=quick.power_states,
        host_ids=await _host_ids(visit, request.options("host")),
        pools=request.options("pool"),
        zones=request.options("zone"),
        owners=request.options("owner"),
        tags=request.options("tag"),
        sort=MachineColumn(asked.sort),
        descending=asked.descending,
    )


async def _host_ids(visit: Visit, names: Sequence[str]) -> tuple[int, ...]:
    if not names:
        return ()
    found = await visit.services.hosts.ids_of(names, caller=visit.caller)
    return tuple(sorted({host_id for ids in found.values() for host_id in ids})) or _NO_HOST


def chips(request: WebRequest) -> list[Chip]:
    return [
        Chip(name=name, value=value, without=_without(request, name, value))
        for name in FILTERS
        for value in request.options(name)
    ]


def _without(request: WebRequest, name: str, value: str) -> str:
    kept = [pair for pair in request.query if pair != (name, value) and pair[0] != "page"]
    return request.path + (f"?{urlencode(kept)}" if kept else "")


def grouped(machines: Iterable[MachineView], group: str) -> list[tuple[str, list[MachineView]]]:
    """One group without a name if the list is not grouped. The machines come sorted by what groups them."""
    if not group:
        return [("", list(machines))]
    found: dict[str, list[MachineView]] = {}
    for machine in machines:
        found.setdefault(GROUPS[group](machine), []).append(machine)
    return list(found.items())
