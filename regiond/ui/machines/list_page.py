"""The list of VMs: searched, filtered, sorted and cut in the database."""

from __future__ import annotations

from urllib.parse import urlencode

from attrs import evolve

from regiond.api.replies import Reply
from regiond.machines.model import MachineState
from regiond.ui.machines.bulk_actions import offered
from regiond.ui.machines.machine_search import (
    GROUPS,
    OPTIONAL_COLUMNS,
    chips,
    group_of,
    grouped,
    read_search,
    shown_columns,
    table_wanted,
)
from regiond.ui.page import Page, Visit
from regiond.ui.table_view import TableView


async def show(visit: Visit) -> Reply:
    request, services = visit.request, visit.services
    asked = table_wanted(request)
    search = evolve(await read_search(visit, request), limit=asked.size, offset=(asked.page - 1) * asked.size)
    page = await services.machines.page(search, caller=visit.caller)
    view = TableView(
        request=request,
        rows=page.machines,
        total=page.total,
        page=asked.page,
        size=asked.size,
        sort=asked.sort,
        descending=asked.descending,
    )
    shown_ids = [machine.system_id for machine in page.machines]
    return await visit.page(
        "machines/list.html",
        title="VMs",
        section="vms",
        view=view,
        groups=grouped(page.machines, group_of(request)),
        group=group_of(request),
        group_names=tuple(GROUPS),
        last_tasks=await services.operations.latest(shown_ids, caller=visit.caller),
        actions=offered(visit.caller),
        chips=chips(request),
        columns=shown_columns(request),
        all_columns=OPTIONAL_COLUMNS,
        query=urlencode(request.query),
        shown=request.option("show"),
        text=request.option("q"),
        choices=await _choices(visit),
    )


async def _choices(visit: Visit) -> dict[str, tuple[str, ...]]:
    """The values that the form of filters offers."""
    services = visit.services
    return {
        "state": tuple(state.value for state in MachineState),
        "host": await services.hosts.names(caller=visit.caller),
        "pool": tuple(pool.name for pool in await services.groups.pools(caller=visit.caller)),
        "zone": tuple(zone.name for zone in await services.groups.zones()),
    }


PAGES = (Page(path="vms", handle=show),)
