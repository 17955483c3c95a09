"""The settings of a host: what may be claimed of it, how it is trusted, whether it takes VMs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from common.errors import InnkeeperError
from common.values import DriverType
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.hosts.model import AS_ABOVE, MACVLAN_MODES, HostView
from regiond.permissions import Permission
from regiond.ui.autostart_words import AUTOSTART_WORDS
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit, begin_edit, read_edit
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.hosts.host_frame import host_page, read_host
from regiond.ui.hosts.host_row import HostRow
from regiond.ui.hosts.overcommit import sums
from regiond.ui.hosts.settings_form import LABELS, SECRET, api_fields, limits_of, pool_options, values_of
from regiond.ui.hosts.trust_actions import act_on_trust
from regiond.ui.hosts.trust_view import trust_view
from regiond.ui.page import Page, Visit, form_pages, redirect


async def settings(visit: Visit) -> Reply:
    """A form that is sent changes only what was changed here."""
    host, row = await read_host(visit)

    async def send(changes: Mapping[str, str]) -> Reply:
        fields = api_fields(changes)
        if secret := visit.request.given(SECRET):
            fields[SECRET] = secret
        if not fields:
            return redirect("hosts", host.id, "settings")
        await visit.act(HOST, "PUT", path={"id": str(host.id)}, fields=fields)
        return redirect("hosts", host.id, "settings", query={"saved": "1"})

    return await forms.change(visit, values_of(host), partial(_page, visit, host, row), send, absent_is_empty=False)


async def show(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    return await _page(visit, host, row, begin_edit(values_of(host)), NOT_REFUSED)


async def preview(visit: Visit) -> Reply:
    """The page with the arithmetic of what was typed so far."""
    host, row = await read_host(visit)
    edit = read_edit(visit.request, values_of(host), absent_is_empty=False)
    return await _page(visit, host, row, begin_edit(edit.values), NOT_REFUSED)


async def trust(visit: Visit) -> Reply:
    host, row = await read_host(visit)
    try:
        answer = await act_on_trust(visit, host.id)
    except InnkeeperError as error:
        return await _page(visit, host, row, begin_edit(values_of(host)), Refusal.of(error))
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


async def _page(visit: Visit, host: HostView, row: HostRow, edit: Edit, refusal: Refusal) -> Reply:
    limits = limits_of(host, edit.values)
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
        status=refusal.status,
        edit=edit,
        labels=LABELS,
        problems=refusal.problems,
        zones=[zone.name for zone in zones],
        pools=[pool.name for pool in pools],
        sums=None if capacity is None else sums(host, limits, capacity),
        trust=None if host.driver is DriverType.SIMULATED else trust_view(host, parameters, visit.now),
        has_password=host.driver is DriverType.LIBVIRT,
        autostart_options=((AS_ABOVE, "as the installation is set"), *AUTOSTART_WORDS.items()),
        pool_options=pool_options(host),
        macvlan_options=[(mode, mode) for mode in MACVLAN_MODES],
    )


ADMIN = Permission.ADMIN
PAGES = (
    *form_pages("hosts/<host>/settings", settings, permission=ADMIN),
    Page(path="hosts/<host>/settings/preview", method="POST", handle=preview, permission=ADMIN),
    Page(path="hosts/<host>/trust", handle=show, permission=ADMIN),
    Page(path="hosts/<host>/trust", method="POST", handle=trust, permission=ADMIN),
    Page(path="hosts/<host>/maintenance", method="POST", handle=maintenance, permission=ADMIN),
)
