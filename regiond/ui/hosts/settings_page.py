"""The settings of a host: what may be claimed of it, how it is trusted, whether it takes VMs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from common.errors import InnkeeperError
from common.values import DriverType
from regiond.api.replies import Reply
from regiond.api.resources.vm_hosts import HOST
from regiond.hosts.model import HostView
from regiond.permissions import Permission
from regiond.ui.edit import NO_CONFLICTS, Conflict, read_edit
from regiond.ui.hosts.host_frame import host_page, read_host
from regiond.ui.hosts.host_row import HostRow
from regiond.ui.hosts.overcommit import sums
from regiond.ui.hosts.settings_form import LABELS, SECRET, api_fields, limits_of, values_of
from regiond.ui.hosts.trust_actions import act_on_trust
from regiond.ui.hosts.trust_view import trust_view
from regiond.ui.page import Page, Visit, redirect
from regiond.ui.refusal import Problems, problems_of, status_of


async def show(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    return await _page(visit, host, row, values=values_of(host))


async def preview(visit: Visit) -> Reply:
    """The page with the arithmetic of what was typed so far."""
    host, row = await read_host(visit)
    return await _page(visit, host, row, values=read_edit(visit.request, values_of(host), absent_is_empty=False).values)


async def save(visit: Visit) -> Reply:
    """Sends only what was changed here; a field that somebody else changed meanwhile is decided first."""
    host, row = await read_host(visit)
    edit = read_edit(visit.request, values_of(host), absent_is_empty=False)
    if edit.conflicts:
        return await _page(visit, host, row, values=edit.values, conflicts=edit.conflicts, status=409)
    fields = api_fields(edit.changes)
    if secret := visit.request.given(SECRET):
        fields[SECRET] = secret
    if not fields:
        return redirect("hosts", host.id, "settings")
    try:
        await visit.act(HOST, "PUT", path={"id": str(host.id)}, fields=fields)
    except InnkeeperError as error:
        return await _refused(visit, host, row, error, values=edit.values)
    return redirect("hosts", host.id, "settings", query={"saved": "1"})


async def trust(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    try:
        answer = await act_on_trust(visit, host.id)
    except InnkeeperError as error:
        return await _refused(visit, host, row, error, values=values_of(host))
    if visit.request.given("action") == "rotate":
        return redirect("tasks", answer["id"])
    return redirect("hosts", host.id, "settings", query={"saved": "1"})


async def maintenance(visit: Visit) -> Reply:
    """Closes the host for placement, or opens it again."""
    host, _ = await read_host(visit)
    path = {"id": str(host.id)}
    if visit.request.given("action") == "open":
        await visit.act(HOST, "POST", "end_maintenance", path=path)
    else:
        reason = visit.request.given("reason").strip() or None
        await visit.act(HOST, "POST", "maintenance", path=path, fields={"reason": reason})
    return redirect("hosts", host.id, "settings")


async def _refused(
    visit: Visit, host: HostView, row: HostRow, error: InnkeeperError, *, values: Mapping[str, str]
) -> Reply:
    return await _page(visit, host, row, values=values, problems=problems_of(error), status=status_of(error))


async def _page(
    visit: Visit,
    host: HostView,
    row: HostRow,
    *,
    values: Mapping[str, str],
    problems: Problems | None = None,
    conflicts: Mapping[str, Conflict] = NO_CONFLICTS,
    status: int = 200,
) -> Reply:
    limits = limits_of(host, values)
    zones, pools, parameters, capacity = await asyncio.gather(
        visit.services.groups.zones(),
        visit.services.groups.pools(caller=visit.caller),
        visit.services.hosts.parameters(visit.caller, host.id),
        visit.services.hosts.capacity_with(host.id, limits, caller=visit.caller),
    )
    return await host_page(
        visit,
        row,
        "settings",
        status=status,
        values=values,
        stored=values_of(host),
        labels=LABELS,
        problems=problems or {},
        conflicts=conflicts,
        zones=[zone.name for zone in zones],
        pools=[pool.name for pool in pools],
        sums=None if capacity is None else sums(host, limits, capacity),
        trust=None if host.driver is DriverType.SIMULATED else trust_view(host, parameters, visit.now),
        has_password=host.driver is DriverType.LIBVIRT,
    )


PAGES = (
    Page(path="hosts/<host>/settings", handle=show, permission=Permission.ADMIN),
    Page(path="hosts/<host>/settings", method="POST", handle=save, permission=Permission.ADMIN),
    Page(path="hosts/<host>/settings/preview", method="POST", handle=preview, permission=Permission.ADMIN),
    Page(path="hosts/<host>/trust", handle=show, permission=Permission.ADMIN),
    Page(path="hosts/<host>/trust", method="POST", handle=trust, permission=Permission.ADMIN),
    Page(path="hosts/<host>/maintenance", method="POST", handle=maintenance, permission=Permission.ADMIN),
)
