"""Composes VMs: the form, with a live preview of its problems and of where they would be placed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve

from common.errors import InnkeeperError, InvalidRequest, NotFound
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOSTS
from regiond.api.resources.shared.lookups import find_host
from regiond.api.urls import operation_id_in
from regiond.machines.arrivals.clones.model import CLONEABLE
from regiond.machines.values.search import MachineFilter
from regiond.operations.model import Operation
from regiond.requests.caller import Permission
from regiond.requests.search_query import term
from regiond.ui.extension import pages_extensions
from regiond.ui.hosts.list_page import read_rows
from regiond.ui.machines.compose import compose_template
from regiond.ui.machines.compose.compose_again import form_again
from regiond.ui.machines.compose.compose_form import MOST_VMS, ComposeForm, read_form
from regiond.ui.machines.compose.compose_preview import Preview, pool_choices, preview_of
from regiond.ui.machines.compose.compose_request import asked_by, problems_of
from regiond.ui.machines.compose.compose_run import Outcome, compose, compose_several
from regiond.ui.machines.compose.compose_template import TEMPLATE
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import constant, counted, text
from regiond.ui.views.placement_view import refusal_of_host
from regiond.ui.web_request import page_url

MOST_CHOICES = 500  # hosts to choose from; of more the form suggests those whose names have what is typed
_SUGGESTED = 50
_NO_HOST = constant("No host can take it. The reasons are listed under Rejected, each with what would help.")
UNPROCESSABLE = 422


async def show(visit: Visit) -> Reply:
    """The form; when it was sent, the VM or what has to change."""
    form, action = read_form(visit.request), visit.request.given("action")
    if visit.request.method != "POST":
        form = await _requested_before(visit) or await _with_host_name(visit, form)
        return await _page(visit, form, await _preview(visit, form))
    if compose_template.is_new(form):
        form, problems = await _like_template(visit, form, is_sent=action == "compose")
        status = UNPROCESSABLE if problems else 200
        return await _page(visit, form, await _preview(visit, form), problems=problems, status=status)
    if action != "compose":
        form = form.changed(action)
        return await _page(visit, form, await _preview(visit, form))
    asked = asked_by(form)
    if asked.problems:
        found = await _preview(visit, form)  # with what the region has to say of the other fields
        return await _page(visit, form, found, problems=found.problems, status=UNPROCESSABLE)
    several = form.count > 1
    return await (_compose_several if several else _compose)(visit, form, asked.fields)


async def _like_template(
    visit: Visit, form: ComposeForm, *, is_sent: bool
) -> tuple[ComposeForm, Mapping[str, Sequence[str]]]:
    """Returns the form with the hardware of the chosen template, which nobody has seen if the form was sent with it."""
    name = form.text(TEMPLATE)
    found = await visit.services.machines.list(MachineFilter(hostnames=(name,)), caller=visit.caller) if name else ()
    if name and not found:
        return form, {TEMPLATE: [text("There is no VM {name}.", name=name)]}
    form = compose_template.like(form, found[0] if found else None)
    seen = text("The form now has the hardware of the template. Look at it, then compose.")
    return form, {TEMPLATE: [seen]} if is_sent else {}


async def _compose(visit: Visit, form: ComposeForm, fields: Mapping[str, Any]) -> Reply:
    try:
        begun = await compose(visit, fields, once=visit.request.given("once") or None)
    except InnkeeperError as error:
        return await _refused(visit, form, error)
    if begun.system_id is None:  # it has failed already, and its task says why
        return redirect("tasks", begun.task_id or 0)
    return redirect_with_note(visit, "vms", begun.system_id, task=begun.task_id or 0)


async def _refused(visit: Visit, form: ComposeForm, error: InnkeeperError) -> Reply:
    if isinstance(error, InvalidRequest):
        problems = problems_of(error, form)
        found = Preview(problems=problems, labels=form.labels)
        return await _page(visit, form, found, problems=problems, status=UNPROCESSABLE)
    status = errors.reply_for(error).status
    placement = error.details.get("placement")
    if placement is None:
        return await _page(visit, form, await _preview(visit, form), problems=problems_of(error, form), status=status)
    of_host = refusal_of_host(placement, form.text("host")) if form.text("host") else None
    problems = {"host": [of_host]} if of_host else {"": [_NO_HOST]}
    return await _page(visit, form, preview_of(form, placement), problems=problems, status=status)


async def _compose_several(visit: Visit, form: ComposeForm, fields: Mapping[str, Any]) -> Reply:
    outcomes = await compose_several(
        visit, fields, names=form.names, count=form.count, once=visit.request.given("once")
    )
    refused = [one for one in outcomes if one.error is not None]
    if len(refused) == len(outcomes) and refused[0].error is not None:
        return await _refused(visit, form, refused[0].error)
    task_ids = [one.task_id for one in outcomes if one.task_id is not None]
    if refused:
        return await _result(visit, task_ids, refused)
    system_ids = [one.system_id for one in outcomes if one.system_id is not None]
    if len(system_ids) < len(outcomes):  # the others have failed already, and their tasks say why
        return redirect("compose", "started", query=_named(task_ids))
    return redirect_with_note(
        visit,
        "vms",
        query={"q": " ".join(term("id", one) for one in system_ids)},
        text=counted("{n} VM is being composed.", "{n} VMs are being composed.", len(system_ids)),
        link=(text("Tasks"), page_url("compose", "started", query=_named(task_ids))),
    )


def _named(task_ids: Iterable[int]) -> Mapping[str, str]:
    return {"tasks": ",".join(map(str, task_ids))}


async def started(visit: Visit) -> Reply:
    """The tasks of VMs that were composed together."""
    ids = [one for one in visit.request.option("tasks").split(",")[:MOST_VMS] if one]
    if not ids:
        raise NotFound("The address names no task.")
    return await _result(visit, [operation_id_in(one) for one in ids], ())


async def _result(visit: Visit, task_ids: Iterable[int], refused: Sequence[Outcome]) -> Reply:
    read = visit.services.operations.read
    tasks: list[Operation] = await asyncio.gather(*(read(one, caller=visit.caller) for one in task_ids))
    placements = (one.error.details.get("placement") for one in refused if one.error is not None)
    return await visit.page(
        "machines/compose/compose_result.html",
        title=text("Compose VMs"),
        section="vms",
        tasks=tasks,
        refused=refused,
        again=page_url("compose", query={"task": str(tasks[0].id), "count": str(len(refused))}) if refused else "",
        placement=next((one for one in placements if one is not None), None),
        request_url=page_url("compose", "started", query=_named(task.id for task in tasks)),
    )


async def _requested_before(visit: Visit) -> ComposeForm | None:
    """Returns what the task of the address was to compose."""
    if not (task_id := visit.request.option("task")):
        return None
    task = await visit.services.operations.read(operation_id_in(task_id), caller=visit.caller)
    form = form_again(task.request)
    if form is None or not (count := visit.request.option("count")):
        return form
    return evolve(form, values={**form.values, "count": count, "hostname": ""})


async def _with_host_name(visit: Visit, form: ComposeForm) -> ComposeForm:
    """Addresses that people write may name the host by its id; the form shows names."""
    if not form.text("host").isdecimal():
        return form
    with suppress(NotFound):
        found = await find_host(visit.services, {"id": form.text("host")})
        return evolve(form, values={**form.values, "host": found.name})
    return form


async def preview(visit: Visit) -> Reply:
    """Only the aside and the texts below fields: what is wrong so far, or where the VMs would be placed."""
    form = read_form(visit.request)
    found = await _preview(visit, form)
    return visit.fragment("machines/compose/compose_preview_only.html", preview=found, form=form)


async def suggested_hosts(visit: Visit) -> Reply:
    """The first names of hosts that have the typed text, of pools where the user may compose."""
    typed = visit.request.option("host").strip().lower()
    found, pools = await asyncio.gather(
        visit.services.hosts.search("", caller=visit.caller), visit.services.groups.pools(caller=visit.caller)
    )
    own = {pool.name for pool in pools if visit.caller.may_operate(pool.id)}
    names = sorted(host.name for host in found.hosts if typed in host.name.lower() and host.pool in own)
    return visit.fragment("machines/compose/compose_hosts.html", names=names[:_SUGGESTED])


async def _preview(visit: Visit, form: ComposeForm) -> Preview:
    """All that is wrong, also where the form itself has problems; without any, the placement."""
    asked = asked_by(form)
    problems: dict[str, Sequence[str]] = {}
    placement: Mapping[str, Any] = {}
    try:
        fields = {**asked.fields, "count": str(form.count) if form.count else None}
        placement = await visit.act(HOSTS, "POST", "place", fields=fields)
    except InnkeeperError as error:
        problems |= problems_of(error, form)
    problems |= asked.problems
    if problems:
        return Preview(problems=problems, labels=form.labels)
    host_id = placement["chosen_id"]
    host = None if host_id is None else await visit.services.hosts.read(host_id, caller=visit.caller)
    return evolve(preview_of(form, placement), host=host)


async def _page(
    visit: Visit,
    form: ComposeForm,
    previewed: Preview,
    *,
    problems: Mapping[str, Sequence[str]] | None = None,
    status: int = 200,
) -> Reply:
    services, caller = visit.services, visit.caller
    candidates = MachineFilter(states=CLONEABLE, limit=MOST_CHOICES + 1)
    rows, machines, zones, pools, spaces, subnets = await asyncio.gather(
        read_rows(visit),
        services.machines.list(candidates, caller=caller),
        services.groups.zones(),
        services.groups.pools(caller=caller),
        services.networks.spaces(),
        services.networks.subnets(),
    )
    hosts = [row for row in rows if caller.may_operate(row.pool_id)]
    return await visit.page(
        "machines/compose/compose.html",
        title=text("Compose VM"),
        section="vms",
        status=status,
        form=form,
        preview=previewed,
        problems=problems or {},
        hosts=hosts,
        suggests_hosts=len(hosts) > MOST_CHOICES,
        templates=compose_template.template_choices(caller, machines, form.text("host")),
        copied_disks=next((len(one.disks) for one in machines if one.hostname == form.text(TEMPLATE)), 0),
        types_template=len(machines) > MOST_CHOICES,
        zones=[(zone.name, zone.name) for zone in zones],
        pools=[(pool.name, pool.name) for pool in pools if caller.may_operate(pool.id)],
        architectures=[(one, one) for one in sorted({row.view.architecture or "" for row in hosts} - {""})],
        storage_pools=pool_choices(hosts, form.text("host")),
        spaces=spaces,
        subnets=subnets,
        maas_servers=[(name, name) for one in pages_extensions() for name in await one.maas_servers(services)],
        most_vms=MOST_VMS,
        once=visit.request.given("once") or secrets.token_urlsafe(16),
    )


PAGES = (
    *form_pages("compose", show, permission=Permission.OPERATOR),
    Page(path="compose/preview", method="POST", handle=preview, permission=Permission.OPERATOR),
    Page(path="compose/hosts", handle=suggested_hosts, permission=Permission.OPERATOR),
    Page(path="compose/started", handle=started, permission=Permission.OPERATOR),
)
