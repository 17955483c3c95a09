"""Acts on many VMs: the confirmation with what happens to which, then the result of each."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from attrs import evolve, frozen

from common.errors import InvalidRequest
from regiond.api.replies import Reply
from regiond.machines.values.bulk import DEFAULT_AT_ONCE, MAX_AT_ONCE, MAX_BULK_MACHINES
from regiond.machines.values.bulk import BulkAction as Task
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineFilter
from regiond.requests.caller import Permission
from regiond.ui.forms import question as questions
from regiond.ui.forms.question import TYPED, is_answered
from regiond.ui.forms.refusal import NOT_REFUSED, UNPROCESSABLE, Refusal
from regiond.ui.forms.shown_plan import PLAN, Plan, refusal_of_plan
from regiond.ui.machines.bulk import bulk_changes, bulk_run
from regiond.ui.machines.bulk.bulk_actions import ACTIONS, BulkAction, Split, offered, split
from regiond.ui.machines.bulk.bulk_changes import ASKS, about_form, api_fields
from regiond.ui.machines.bulk.bulk_question import Running, bulk_question, typed_name
from regiond.ui.machines.deploy_form import encoded_user_data, image_choices_of_all, image_problems
from regiond.ui.machines.deploy_page import usable_default
from regiond.ui.machines.details import tagging
from regiond.ui.machines.details.notes_form import names_in
from regiond.ui.machines.machine_questions import running_since
from regiond.ui.machines.machine_search import Scope, read_search, scope_of
from regiond.ui.machines.release_form import FIELDS, erasures, release_fields
from regiond.ui.rendering.page import SEE_OTHER, Page, Visit, note_at
from regiond.ui.texts import counted, text
from regiond.ui.web_request import with_query
from regiond.ui.words.boot_words import boot_orders

_CHANGE = bulk_changes.FIELDS
_IMAGE = ("distro_series", "user_data")


@frozen(kw_only=True)
class Asked:
    """The request: `matching` VMs were meant, of which `found` are there; `back` is the list with them.

    `plan` is what the action changes, deletes and keeps, as it is now; None also until a change is given.
    """

    found: Split
    back: str
    matching: int
    plan: Plan | None


async def act(visit: Visit) -> Reply:
    """Asks for a confirmation first, unless the action needs none."""
    request = visit.request
    action = ACTIONS.get(request.given("action"))
    scope = await scope_of(visit, request.given("within"))
    back = scope.path + (f"?{query}" if (query := request.given("query")) else "")
    is_offered = action is not None and action in offered(visit.caller)
    machines, matching = await _selected(visit, scope) if is_offered else ([], 0)
    if action is None or not machines:
        return Reply(status=SEE_OTHER, headers={"Location": back})
    found = split(action, machines, visit.caller)
    plan, problems = await _plan(visit, found)
    asked = Asked(found=found, back=back, matching=matching, plan=plan)
    if problems:
        return await _confirm(visit, asked, _problems(problems))
    if (found.needs_confirmation and not is_answered(visit)) or (action.asks in ASKS and not request.given(PLAN)):
        return await _confirm(visit, asked)
    refusal = refusal_of_plan(asked.plan, request.given(PLAN))
    if refusal is not NOT_REFUSED:
        return await _confirm(visit, asked, refusal)
    fields, problems = _fields(visit, action, found)
    if problems:
        return await _confirm(visit, asked, _problems(problems))
    return await _act(visit, asked, fields)


async def _plan(visit: Visit, found: Split) -> tuple[Plan | None, Mapping[str, list[str]]]:
    """Returns what is changed, deleted and kept, if the question has that, and problems of what was given."""
    task, is_change = found.action.as_task, found.action.asks in ASKS
    if task is None or not found.changed or not (found.action.asks == "plan" or is_change):
        return None, {}
    options = _options(visit, task) if is_change else {}
    if is_change and not options and not is_answered(visit):
        return None, {}
    try:
        return await bulk_run.plan(visit, task, found.changed, options), {}
    except InvalidRequest as error:
        if not is_change:
            raise
        return None, about_form(task, error.fields) or {"": [error.message]}


def _problems(problems: Mapping[str, list[str]]) -> Refusal:
    return Refusal(status=UNPROCESSABLE, problems=dict(problems))


async def _act(visit: Visit, asked: Asked, fields: Mapping[str, Any]) -> Reply:
    """Begins the task, or acts and shows the outcomes."""
    found, back = asked.found, asked.back
    action = found.action
    if action.as_task is not None:
        return await _start(visit, action.as_task, asked)
    try:
        outcomes = await _outcomes(visit, found, fields)
    except InvalidRequest as error:
        return await _confirm(visit, asked, _problems(tagging.about_field(error, "add").fields))
    if not found.left and not any(one.error for one in outcomes):
        return note_at(visit, back, text=counted("{n} VM {done}.", "{n} VMs {done}.", len(outcomes), done=action.done))
    return await visit.page(
        "machines/bulk/bulk_result.html",
        title=text("{action}: result", action=action.label),
        section="vms",
        split=found,
        outcomes=outcomes,
        failed=sum(bool(one.error) for one in outcomes),
        back=back,
    )


async def _outcomes(visit: Visit, found: Split, fields: Mapping[str, Any]) -> list[bulk_run.Outcome]:
    """Raises InvalidRequest for names that cannot be tags."""
    if found.action.asks == "tags":
        return await bulk_run.tag(visit, found.changed, add=fields["add"], remove=fields["remove"])
    return await bulk_run.run(visit, found.action, found.changed, fields)


async def _start(visit: Visit, task: Task, asked: Asked) -> Reply:
    """Leads back to the list, with a note about the task, which shows what becomes of each VM."""
    request = visit.request
    try:
        answer = await bulk_run.start(
            visit, task, asked.found.changed, at_once=request.given("at_once"), once=request.given("once"),
            options=_options(visit, task),
        )  # fmt: skip
    except InvalidRequest as error:
        return await _confirm(visit, asked, _problems(about_form(task, error.fields) or {"at_once": [error.message]}))
    return note_at(visit, asked.back, answer=answer)


def _options(visit: Visit, task: Task) -> Mapping[str, Any]:
    values = {name: visit.request.given(name) for name in (*FIELDS, *_IMAGE)}
    if task.deploys:
        user_data = encoded_user_data(values["user_data"])
        return {"distro_series": values["distro_series"], "user_data": user_data, "comment": values["comment"]}
    if task.changes_hardware:
        return api_fields(task, visit.request.given)
    return {**release_fields(values), "comment": values["comment"]} if task is Task.RELEASE else {}


async def _selected(visit: Visit, scope: Scope) -> tuple[list[MachineView], int]:
    """The VMs of the request, at most MAX_BULK_MACHINES, and how many it meant."""
    request = visit.request
    if request.given("all"):
        asked = with_query(request, request.given("query"))
        search = evolve(await read_search(visit, asked, scope), limit=MAX_BULK_MACHINES, offset=0)
        page = await visit.services.machines.page(search, caller=visit.caller)
        return list(page.machines), page.total
    ids = tuple(dict.fromkeys(request.form.get("selected", ())))
    found = (
        await visit.services.machines.list(MachineFilter(system_ids=ids[:MAX_BULK_MACHINES]), caller=visit.caller)
        if ids
        else ()
    )
    return sorted(found, key=lambda machine: machine.hostname), len(ids)


def _fields(visit: Visit, action: BulkAction, found: Split) -> tuple[Mapping[str, Any], Mapping[str, list[str]]]:
    """The fields of the API that the confirmation asked for, and its problems."""
    request = visit.request
    if action.is_typed and request.given(TYPED).strip() != typed_name(found):
        return {}, {TYPED: [text("Type {typed} to confirm.", typed=typed_name(found))]}
    if action.asks == "tags":
        add, remove = names_in(request.given("add")), names_in(request.given("remove"))
        both = [name for name in add if name in remove]
        if both:
            return {}, {"remove": [text("{tags} cannot be added and removed at once.", tags=", ".join(both))]}
        return {"add": add, "remove": remove}, {} if add or remove else {
            "add": [text("Name a tag to add or to remove.")]
        }
    if action.asks == "place":
        chosen = {name: request.given(name) for name in ("pool", "zone") if request.given(name)}
        return chosen, {} if chosen else {"pool": [text("Choose a pool, a zone, or both.")]}
    if action.as_task is Task.DEPLOY:
        return {}, image_problems({"distro_series": request.given("distro_series")})
    return {}, {}


async def _confirm(visit: Visit, asked: Asked, refusal: Refusal = NOT_REFUSED) -> Reply:
    found, plan, services = asked.found, asked.plan, visit.services
    action = found.action
    running = await _longest_running(visit, found) if action.effect else None
    images = image_choices_of_all(await services.images.list(), found.changed) if action.asks == "image" else []
    given = {name: visit.request.given(name) for name in ("pool", "zone", "add", "remove", *_IMAGE, *_CHANGE, *FIELDS)}
    if images and action.as_task is Task.DEPLOY and not given["distro_series"] and not is_answered(visit):
        given["distro_series"] = await usable_default(visit, found.changed, images)
    question = bulk_question(
        found,
        back=asked.back,
        kept={
            "query": visit.request.given("query"),
            "within": visit.request.given("within"),
            "once": visit.request.given("once") or secrets.token_urlsafe(16),
        },
        running=running,
        now=visit.now,
        shows_plan=action.asks not in ASKS or plan is not None,
    )
    return await questions.show(
        visit,
        question,
        refusal,
        template="machines/bulk/bulk_confirm.html",
        split=found,
        matching=asked.matching,
        most=MAX_BULK_MACHINES,
        plan=plan,
        images=images,
        orders=boot_orders(found.changed) if action.asks == "boot" else (),
        most_at_once=MAX_AT_ONCE,
        pools=await services.groups.pools(caller=visit.caller) if action.asks == "place" else (),
        zones=await services.groups.zones() if action.asks == "place" else (),
        given=given,
        erasures=erasures(deletes=bool(plan and not plan["kept"])) if action.as_task is Task.RELEASE else (),
        tags=sorted({tag for one in found.changed for tag in one.tags}) if action.asks == "tags" else (),
        at_once=visit.request.given("at_once") or str(DEFAULT_AT_ONCE),
    )


async def _longest_running(visit: Visit, found: Split) -> Running | None:
    """The VM that has been running longest, as far as is known."""
    tasks = await visit.services.operations.latest([one.system_id for one in found.changed], caller=visit.caller)
    times = [
        Running(since=since, name=machine.hostname)
        for machine in found.changed
        if (since := running_since(machine, [tasks[machine.system_id]] if machine.system_id in tasks else ()))
    ]
    return min(times, key=lambda one: one.since, default=None)


async def show(visit: Visit) -> Reply:
    """Answers who opens the address itself, and the refresh of the frame of a result."""
    return await visit.page("machines/bulk/bulk_empty.html", title=text("Actions on VMs"), section="vms")


PAGES = (
    Page(path="vms/bulk", handle=show),
    Page(path="vms/bulk", method="POST", handle=act, permission=Permission.OPERATOR),
)
