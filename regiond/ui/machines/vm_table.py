"""The table of VMs of all hosts, of one host, or of a cluster: search, groups, pages, columns, selection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, field, frozen

from common.errors import InvalidRequest
from regiond.machines.values.model import MachinePage, MachineView
from regiond.machines.values.search import USED, GroupSizes, MachineGroup
from regiond.operations.model import Operation
from regiond.ui.lists.choices import chosen_columns, saved_filters
from regiond.ui.lists.list_kind import ListTools, group_of, shown_columns
from regiond.ui.machines.bulk.bulk_actions import BulkAction, offered
from regiond.ui.machines.machine_search import NO_GROUP, PROPERTY_WORDS, VMS, Scope, read_search, table_wanted
from regiond.ui.rendering.page import Visit
from regiond.ui.views.table_view import TableView
from regiond.ui.web_request import page_url
from regiond.usage.model import UsageView

_USED = {column.value for column in USED}
_NAMED = ("host", "pool", "zone", "owner", "tag")  # filters with names that exist


@frozen(kw_only=True)
class Group:
    """VMs that are together in the table. `size` counts those on all pages."""

    name: str
    size: int
    machines: Sequence[MachineView]


@frozen(kw_only=True)
class VmTable:
    """The table and what stands above it. One group without a name if it is not grouped."""

    scope: Scope
    tools: ListTools
    view: TableView[MachineView]
    groups: Sequence[Group]
    actions: Sequence[BulkAction] = ()
    last_tasks: Mapping[str, Operation] = field(factory=dict)
    usage: Mapping[str, UsageView] = field(factory=dict)

    @property
    def status(self) -> int:
        """The HTTP status of a page with it: one that the user did not load, but typed for, is no failure."""
        return 422 if self.tools.problems and not self.tools.request.is_htmx else 200


async def read_table(visit: Visit, scope: Scope) -> VmTable:
    request, services = visit.request, visit.services
    asked, sizes, problems = table_wanted(request), dict[str | None, int](), dict[str, Sequence[str]]()
    page = MachinePage(machines=(), total=0)
    try:
        search = evolve(
            await read_search(visit, request, scope), limit=asked.size, offset=(asked.page - 1) * asked.size
        )
        page = await services.machines.page(search, caller=visit.caller)
        if search.group is not None:
            sizes = dict(await services.machines.group_sizes(search, caller=visit.caller))
    except InvalidRequest as error:
        problems = dict(error.fields)
    ids = [machine.system_id for machine in page.machines]
    columns = shown_columns(request, scope.columns, await chosen_columns(visit, scope.place), scope.default)
    return VmTable(
        scope=scope,
        tools=ListTools(
            kind=VMS,
            request=request,
            path=scope.path,
            place=scope.place,
            offered=scope.columns,
            columns=columns,
            choices=await _choices(visit, scope),
            saved=await saved_filters(visit, VMS, scope.path),
            exports=page_url("vms", "export", query={"within": scope.within}),
            problems=problems,
        ),
        view=TableView(
            request=request,
            rows=page.machines,
            total=page.total,
            page=page.offset // asked.size + 1,
            size=asked.size,
            sort=asked.sort,
            descending=asked.descending,
        ),
        groups=grouped(page.machines, group_of(VMS, request), sizes),
        actions=offered(visit.caller),
        last_tasks=await services.operations.latest(ids, caller=visit.caller) if "task" in columns else {},
        usage=await services.usages.of_machines(page.machines) if _USED.intersection(columns) else {},
    )


def grouped(machines: Iterable[MachineView], group: str, sizes: GroupSizes) -> list[Group]:
    """The machines come in the order of their groups."""
    if not group:
        return [Group(name="", size=0, machines=tuple(machines))]
    found: dict[str | None, list[MachineView]] = {}
    for machine in machines:
        found.setdefault(_key(machine, MachineGroup(group)), []).append(machine)
    return [
        Group(
            name=VMS.word(group, key) if key else NO_GROUP.get(group, ""), size=sizes.get(key, len(some)), machines=some
        )
        for key, some in found.items()
    ]


def _key(machine: MachineView, group: MachineGroup) -> str | None:
    if group is MachineGroup.HOST:
        return machine.host_name if machine.host_id is not None else None
    if group is MachineGroup.STATE:
        return machine.state.value
    return machine.pool.name if group is MachineGroup.POOL else machine.owner


async def _choices(visit: Visit, scope: Scope) -> dict[str, Sequence[str]]:
    """The values that the form of filters offers."""
    names = [name for name in _NAMED if name != "host" or "host" in scope.columns]
    known = await visit.services.machines.names(names, caller=visit.caller)
    return {
        "state": tuple(VMS.fields["state"].choices),
        "is": tuple(PROPERTY_WORDS),
        **{name: known[name] for name in names},
    }
