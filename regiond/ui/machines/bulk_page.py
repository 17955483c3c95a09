"""Acts on many VMs: the confirmation with what happens to which, then the result of each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import evolve

from regiond.api.replies import Reply
from regiond.machines.model import MachineFilter, MachineView
from regiond.permissions import Permission
from regiond.ui.machines import bulk_run
from regiond.ui.machines.bulk_actions import ACTIONS, BulkAction, Split, offered, split
from regiond.ui.machines.machine_search import read_search
from regiond.ui.page import Page, Visit, redirect

MOST = 500  # VMs of one request


async def act(visit: Visit) -> Reply:
    """Asks for a confirmation first, unless the action needs none."""
    request = visit.request
    action = ACTIONS.get(request.given("action"))
    if action is None or action not in offered(visit.caller):
        return redirect("vms")
    machines, matching = await _selected(visit)
    if not machines:
        return redirect("vms")
    found = split(action, machines, visit.caller)
    is_confirmed = request.given("confirmed") == "yes"
    if found.needs_confirmation and not is_confirmed:
        return await _confirm(visit, found, matching=matching)
    fields, problems = _fields(visit, action, found)
    if problems:
        return await _confirm(visit, found, matching=matching, problems=problems)
    outcomes = await bulk_run.run(visit, action, found.changed, fields, once=request.given("once"))
    return await visit.page(
        "machines/bulk_result.html",
        title=f"{action.label}: result",
        section="vms",
        split=found,
        outcomes=outcomes,
        failed=sum(bool(one.error) for one in outcomes),
        query=request.given("query"),
    )


async def _selected(visit: Visit) -> tuple[list[MachineView], int]:
    """The VMs of the request, at most MOST, and how many it meant."""
    request = visit.request
    if request.given("all"):
        asked = evolve(request, query=tuple(parse_qsl(request.given("query"), max_num_fields=100)))
        search = evolve(await read_search(visit, asked), limit=MOST, offset=0)
        page = await visit.services.machines.page(search, caller=visit.caller)
        return list(page.machines), page.total
    ids = tuple(dict.fromkeys(request.form.get("selected", ())))
    found = await visit.services.machines.list(MachineFilter(system_ids=ids[:MOST]), caller=visit.caller) if ids else ()
    return sorted(found, key=lambda machine: machine.hostname), len(ids)


def _fields(visit: Visit, action: BulkAction, found: Split) -> tuple[Mapping[str, Any], Mapping[str, list[str]]]:
    """The fields of the API that the confirmation asked for, and its problems."""
    request = visit.request
    if action.asks == "plan" and request.given("name") != typed_name(found):
        return {}, {"name": [f"Type {typed_name(found)}."]}
    if action.asks == "place":
        chosen = {name: request.given(name) for name in ("pool", "zone") if request.given(name)}
        return chosen, {} if chosen else {"pool": ["Choose a pool, a zone, or both."]}
    return {}, {}


def typed_name(found: Split) -> str:
    """What confirms a removal: the name of one VM, the number of several."""
    return found.changed[0].hostname if len(found.changed) == 1 else str(len(found.changed))


async def _confirm(
    visit: Visit, found: Split, *, matching: int, problems: Mapping[str, list[str]] | None = None
) -> Reply:
    action = found.action
    plans = await bulk_run.plans(visit, action, found.changed) if action.asks == "plan" else []
    services = visit.services
    return await visit.page(
        "machines/bulk_confirm.html",
        title=f"{action.label} VMs",
        section="vms",
        status=422 if problems else 200,
        split=found,
        matching=matching,
        most=MOST,
        plan=_merged(plans),
        refused=[one for one in plans if one.error],
        typed_name=typed_name(found) if found.changed else "",
        pools=await services.groups.pools(caller=visit.caller) if action.asks == "place" else (),
        zones=await services.groups.zones() if action.asks == "place" else (),
        given={name: visit.request.given(name) for name in ("name", "pool", "zone", "query")},
        problems=problems or {},
        once=visit.request.given("once") or secrets.token_urlsafe(16),
    )


def _merged(plans: list[bulk_run.Outcome]) -> Mapping[str, list[Any]]:
    answers = [one.answer for one in plans if not one.error]
    effects = dict.fromkeys(effect for answer in answers for effect in answer["effects"])
    return {
        "deleted": [guest for answer in answers for guest in answer["deleted"]],
        "kept": [guest for answer in answers for guest in answer["kept"]],
        "effects": list(effects),
    }


async def show(visit: Visit) -> Reply:
    """For who opens the address itself, and for the refresh of the frame of a result."""
    return await visit.page("machines/bulk_empty.html", title="Actions on VMs", section="vms")


PAGES = (
    Page(path="vms/bulk", handle=show),
    Page(path="vms/bulk", method="POST", handle=act, permission=Permission.OPERATOR),
)
