"""The list of VMs: searched, filtered, sorted and cut in the database."""

from __future__ import annotations

from urllib.parse import urlencode

from regiond.api.replies import Reply
from regiond.machines.model import MachineColumn, MachineSearch, MachineState
from regiond.ui.page import Page, Visit
from regiond.ui.table_view import TableView, wanted

_COLUMNS = tuple(column.value for column in MachineColumn)
_SHOWN = {
    "running": MachineSearch(power_states=("on",)),
    "off": MachineSearch(power_states=("off",)),
    "attention": MachineSearch(states=(MachineState.MISSING, MachineState.BROKEN, MachineState.FAILED)),
}
FILTERS = ("pool", "zone", "owner", "tag")


async def show(visit: Visit) -> Reply:
    request = visit.request
    asked = wanted(request, _COLUMNS, "name")
    shown = _SHOWN.get(request.option("show"), MachineSearch())
    search = MachineSearch(
        text=request.option("q").strip(),
        states=shown.states,
        power_states=shown.power_states,
        pools=request.options("pool"),
        zones=request.options("zone"),
        owners=request.options("owner"),
        tags=request.options("tag"),
        sort=MachineColumn(asked.sort),
        descending=asked.descending,
        limit=asked.size,
        offset=(asked.page - 1) * asked.size,
    )
    page = await visit.services.machines.page(search, caller=visit.caller)
    view = TableView(
        request=request,
        rows=page.machines,
        total=page.total,
        page=asked.page,
        size=asked.size,
        sort=asked.sort,
        descending=asked.descending,
    )
    chips = [(name, value, _without(visit, name, value)) for name in FILTERS for value in request.options(name)]
    return await visit.page(
        "machines/list.html",
        title="VMs",
        section="vms",
        view=view,
        chips=chips,
        shown=request.option("show"),
        text=request.option("q"),
    )


def _without(visit: Visit, name: str, value: str) -> str:
    kept = [pair for pair in visit.request.query if pair != (name, value) and pair[0] != "page"]
    return visit.request.path + (f"?{urlencode(kept)}" if kept else "")


PAGES = (Page(path="vms", handle=show),)
