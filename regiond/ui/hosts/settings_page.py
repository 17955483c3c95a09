"""The settings of a host: what may be claimed of it, how it is trusted, whether it takes VMs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from common.errors import InnkeeperError
from common.values import DriverType
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.hosts.model import MACVLAN_MODES, HostView
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit, begin_edit, read_edit
from regiond.ui.forms.question import Change, Question, ask, is_answered, sent_fields
from regiond.ui.forms.question import show as show_question
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.hosts.host_frame import host_page, read_host
from regiond.ui.hosts.host_questions import closing_question, settings_question, trust_question
from regiond.ui.hosts.host_row import HostRow
from regiond.ui.hosts.overcommit import sums
from regiond.ui.hosts.settings_form import (
    AUTOSTART_OPTIONS,
    LABELS,
    SECRET,
    api_fields,
    changes_of,
    check_fields,
    limits_of,
    network_options,
    pool_options,
    values_of,
)
from regiond.ui.hosts.trust_actions import act_on_trust
from regiond.ui.hosts.trust_view import trust_view
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text


async def settings(visit: Visit) -> Reply:
    """A form that is sent changes only what was changed here."""
    host, row = await read_host(visit)

    async def send(changes: Mapping[str, str]) -> Reply:
        fields = api_fields(changes)
        if secret := visit.request.given(SECRET):
            fields[SECRET] = secret
        if not fields:
            return redirect("hosts", host.id, "settings")
        if not is_answered(visit) and (shown := changes_of(host, changes)):
            check_fields(host, fields)
            return await show_question(visit, await _review(visit, host, shown))
        await visit.act(HOST, "PUT", path={"id": str(host.id)}, fields=fields)
        return redirect_with_note(visit, "hosts", host.id, "settings", text=text("Saved."))

    return await forms.change(visit, values_of(host), partial(_page, visit, host, row), send, absent_is_empty=False)


async def _review(visit: Visit, host: HostView, changes: Sequence[Change]) -> Question:
    """Shows each change before it is saved; a new password alone has nothing to show."""
    values = read_edit(visit.request, values_of(host), absent_is_empty=False).values
    limits = limits_of(host, values)
    capacity = await visit.services.hosts.capacity_with(host.id, limits, caller=visit.caller)
    return settings_question(
        host,
        changes,
        () if capacity is None else sums(host, limits, capacity),
        sent_fields(visit.request.form, without=(SECRET,)),
        has_password=bool(visit.request.given(SECRET)),
    )


async def show(visit: Visit) -> Reply:
    """The settings, or the question before the `action` of the address."""
    if visit.request.option("action"):
        return await trust(visit)
    host, row = await read_host(visit)
    return await _page(visit, host, row, begin_edit(values_of(host)), NOT_REFUSED)


async def preview(visit: Visit) -> Reply:
    """The page with the arithmetic of what was typed so far."""
    host, row = await read_host(visit)
    edit = read_edit(visit.request, values_of(host), absent_is_empty=False)
    return await _page(visit, host, row, begin_edit(edit.values), NOT_REFUSED)


async def trust(visit: Visit) -> Reply:
    """Changes the trust. What accepts a server, or replaces a certificate or key, asks first."""
    request = visit.request
    host, row = await read_host(visit)
    action = request.given("action") or request.option("action")

    async def run() -> Reply:
        answer = await act_on_trust(visit, host.id)
        return redirect_with_note(visit, "hosts", host.id, "settings", answer=answer, text=text("Saved."))

    parameters = await visit.services.hosts.parameters(visit.caller, host.id)
    sent = {name: request.given(name) for name in ("fingerprint", "field", "value")}
    question = trust_question(host, trust_view(host, parameters, visit.now), action, sent)
    if question is not None:
        return await ask(visit, question, run)
    if request.method != "POST":
        return redirect("hosts", host.id, "settings")
    try:
        return await run()
    except InnkeeperError as error:
        return await _page(visit, host, row, begin_edit(values_of(host)), Refusal.of(error))


async def maintenance(visit: Visit) -> Reply:
    """Closes the host for placement after a question, opens it again, or changes the reason."""
    host, row = await read_host(visit)
    path = {"id": str(host.id)}

    async def close() -> Reply:
        reason = visit.request.given("reason").strip() or None
        await visit.act(HOST, "POST", "maintenance", path=path, fields={"reason": reason})
        return redirect_with_note(
            visit, "hosts", host.id, "settings", text=text("{name} is closed for placement.", name=host.name)
        )

    if visit.request.given("action") == "open":
        await visit.act(HOST, "POST", "end_maintenance", path=path)
        return redirect_with_note(
            visit, "hosts", host.id, "settings", text=text("{name} is open for placement.", name=host.name)
        )
    if host.maintenance and visit.request.method == "POST":
        return await close()
    return await ask(visit, closing_question(host, row.machines), close)


async def _page(visit: Visit, host: HostView, row: HostRow, edit: Edit, refusal: Refusal) -> Reply:
    limits = limits_of(host, edit.values)
    zones, pools, parameters, capacity, interfaces = await asyncio.gather(
        visit.services.groups.zones(),
        visit.services.groups.pools(caller=visit.caller),
        visit.services.hosts.parameters(visit.caller, host.id),
        visit.services.hosts.capacity_with(host.id, limits, caller=visit.caller),
        visit.services.networks.interfaces(host.system_id, caller=visit.caller),
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
        trust=trust_view(host, parameters, visit.now) if host.driver in _WITH_TRUST else None,
        has_password=host.driver is DriverType.LIBVIRT,
        changes=changes_of(host, edit.values),
        autostart_options=AUTOSTART_OPTIONS,
        pool_options=pool_options(host),
        network_options=network_options(interfaces),
        macvlan_options=[(mode, mode) for mode in MACVLAN_MODES],
    )


_WITH_TRUST = {DriverType.LXD, DriverType.LIBVIRT}
ADMIN = Permission.ADMIN
PAGES = (
    *form_pages("hosts/<host>/settings", settings, permission=ADMIN),
    Page(path="hosts/<host>/settings/preview", method="POST", handle=preview, permission=ADMIN),
    Page(path="hosts/<host>/trust", handle=show, permission=ADMIN),
    Page(path="hosts/<host>/trust", method="POST", handle=trust, permission=ADMIN),
    *form_pages("hosts/<host>/maintenance", maintenance, permission=ADMIN),
)
