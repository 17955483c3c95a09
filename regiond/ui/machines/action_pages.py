"""Acts on one VM, at once or after a question; deletes it or aborts its deployment."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission, check_object
from regiond.ui.forms import question as questions
from regiond.ui.forms.question import NO_UNDO, Question, Subject
from regiond.ui.machines.machine_actions import ACTIONS, Action
from regiond.ui.machines.machine_questions import SECTION, crumbs_of, detail_of, question_of, running_since
from regiond.ui.rendering.page import Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

_MOST_TASKS = 20


async def read_own(visit: Visit) -> MachineView:
    """Returns the VM of the page's address, for a page only for those who may act on it.

    Raises NotFound, also for one that the user may not see, and NotAllowed.
    """
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    check_object(Permission.OWNER, visit.caller, machine)
    return machine


async def act(visit: Visit) -> Reply:
    """The `action` is in the form, or in the address of its question."""
    request, system_id = visit.request, visit.path["system_id"]
    name = request.given("action") or request.option("action")
    action = ACTIONS.get(name)
    if action is None or not (action.asks or request.method == "POST"):
        return redirect(SECTION, system_id)
    machine = await read_own(visit)
    if not action.asks:
        return await _run(visit, machine, action)
    question = question_of(name, machine, await since_of(visit, machine), visit.now)
    question = questions.keeping(question, action=name)
    return await questions.ask(visit, question, lambda: _run(visit, machine, action))


async def since_of(visit: Visit, machine: MachineView) -> datetime | None:
    """When its guest began to run, as far as is known."""
    operations = visit.services.operations
    tasks = await operations.list(system_id=machine.system_id, limit=_MOST_TASKS, caller=visit.caller)
    return running_since(machine, tasks)


async def _run(visit: Visit, machine: MachineView, action: Action) -> Reply:
    fields = {**action.fields, "comment": visit.request.given("comment") or None}
    found = await visit.act(MACHINE, "POST", action.op, path={"system_id": machine.system_id}, fields=fields)
    return stay(visit, machine, found, text(action.done, name=machine.hostname) if action.done else "")


def stay(visit: Visit, machine: MachineView, found: Any, text: str = "") -> Reply:
    """Leads to the page of the VM, with a note about the task that was begun."""
    return redirect_with_note(visit, SECTION, machine.system_id, answer=found, text=text)


def stay_or_leave(visit: Visit, machine: MachineView, plan: Any, found: Any) -> Reply:
    """As `stay`, or to the list of VMs if the dry run said that the VM is deleted: its page is gone soon."""
    return redirect_with_note(visit, SECTION, answer=found) if plan["deleted"] else stay(visit, machine, found)


async def delete(visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    path = {"system_id": machine.system_id}
    plan = await visit.act(MACHINE, "DELETE", path=path, fields={"dry_run": "true"})

    async def run() -> Reply:
        return redirect_with_note(visit, SECTION, answer=await visit.act(MACHINE, "DELETE", path=path))

    detail = detail_of(machine, await since_of(visit, machine), visit.now)
    question = removal_question(
        machine, text("Delete {hostname}?", hostname=machine.hostname), text("Delete VM"), plan, detail
    )
    return await questions.ask(visit, question, run, plan=plan, plan_of="guests")


async def abort(visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    path = {"system_id": machine.system_id}
    plan = await visit.act(MACHINE, "POST", "abort", path=path, fields={"dry_run": "true"})

    async def run() -> Reply:
        return stay_or_leave(visit, machine, plan, await visit.act(MACHINE, "POST", "abort", path=path))

    title, detail = (
        text("Abort the deployment of {hostname}?", hostname=machine.hostname),
        detail_of(machine, None, visit.now),
    )
    question = removal_question(machine, title, text("Abort deployment"), plan, detail)
    return await questions.ask(visit, question, run, plan=plan, plan_of="guests")


def removal_question(machine: MachineView, title: str, button: str, plan: Any, detail: str) -> Question:
    """The name is typed for a removal that deletes something; `plan` is the answer of its dry run."""
    return Question(
        title=title,
        section=SECTION,
        crumbs=crumbs_of(machine),
        button=button,
        back=page_url(SECTION, machine.system_id),
        undo=NO_UNDO,
        subjects=(Subject(name=machine.hostname, detail=detail),),
        typed=machine.hostname if plan["confirm"] == "name" else "",
        is_dangerous=True,
    )


PAGES = (
    *form_pages("vms/<system_id>/act", act),
    *form_pages("vms/<system_id>/delete", delete),
    *form_pages("vms/<system_id>/abort", abort),
)
