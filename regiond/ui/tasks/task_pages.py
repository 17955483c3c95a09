"""One task: its steps, log and placement, how it is cancelled, and its note on other pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from common.errors import NotFound
from common.words.operation_kinds import OperationKind
from regiond.api.replies import Reply
from regiond.api.resources.operations.operations import OPERATION
from regiond.api.urls import operation_id_in
from regiond.machines.bulk.progress import BulkProgress, BulkRequest, progress
from regiond.machines.values.model import MachineView
from regiond.operations.model import Child, LogLine, Operation, OperationState, can_be_abandoned
from regiond.requests.caller import Caller
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import NO_UNDO, Question, ask
from regiond.ui.forms.shown_plan import COMPARED
from regiond.ui.machines.details.failed_console import failed_console
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect_with_note
from regiond.ui.tasks.retry import offered_restart, offered_retry
from regiond.ui.tasks.task_log import shown_log
from regiond.ui.tasks.task_request import requested
from regiond.ui.texts import constant, text
from regiond.ui.views.placement_view import rejected_ids, without_removed
from regiond.ui.views.run_steps import StepState, run_steps
from regiond.ui.web_request import page_url

_WHY = FormField(name="comment", label=constant("Why"), help=constant("Recorded with the task"))
_MOST_CHILDREN = 1000
MOST_SHOWN = 200
# What needs attention comes first, what has ended well last.
_ORDER: Mapping[OperationState, int] = {
    state: place
    for place, state in enumerate(
        (
            OperationState.FAILED,
            OperationState.UNDOING,
            OperationState.WAITING,
            OperationState.RUNNING,
            OperationState.QUEUED,
            OperationState.CANCELLED,
            OperationState.SUCCEEDED,
        )
    )
}


@frozen(kw_only=True)
class Parts:
    """`shown` are at most MOST_SHOWN of `total`. `progress` only of a task that acts on many VMs."""

    shown: tuple[Operation, ...]
    total: int
    progress: BulkProgress | None = None


def parts_of(task: Operation, children: Sequence[Child], visible: Sequence[Operation]) -> Parts:
    """`children` are all that the task began, `visible` those that the user may see."""
    ordered = sorted(visible, key=lambda one: (_ORDER[one.state], one.id))
    return Parts(
        shown=tuple(ordered[:MOST_SHOWN]),
        total=len(visible),
        progress=progress(task.request_as(BulkRequest), children) if task.kind is OperationKind.BULK else None,
    )


async def show(visit: Visit) -> Reply:
    operations = visit.services.operations
    task = await operations.read(operation_id_in(visit.path["task"]), caller=visit.caller)
    log = await operations.log(task.id)
    steps = run_steps(log, task.state)
    children = await operations.children(task.id) if task.kind is OperationKind.BULK else ()
    machine = await _machine(visit, task)
    return await visit.page(
        "tasks/task.html",
        title=text("Task {id}", id=task.id),
        section="tasks",
        task=task,
        log=shown_log(log),
        log_lines=len(log),
        steps=steps,
        steps_done=sum(step.state is StepState.DONE for step in steps),
        parts=parts_of(
            task,
            children,
            await operations.list(parent_id=task.id, limit=_MOST_CHILDREN, caller=visit.caller),
        ),
        placement=await _placement(visit, task.explanation),
        wait_reason=await operations.wait_reason(task, caller=visit.caller),
        requested=requested(task),
        may_cancel=_may_cancel(visit.caller, task),
        may_abandon=visit.caller.is_admin and can_be_abandoned(task),
        restart=offered_restart(task, children, visit.caller),
        retry=offered_retry(task, children, caller=visit.caller, machine=machine),
        failed_console=await _failed_console(visit, task, machine),
    )


async def _placement(visit: Visit, stored: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Links lead only to hosts that are still there: a task may be older than their removal."""
    if stored is None:
        return None
    present = await visit.services.hosts.names_of(rejected_ids(stored), caller=visit.caller)
    return without_removed(stored, present)


async def _machine(visit: Visit, task: Operation) -> MachineView | None:
    """Returns the VM of a task that did not succeed; None if it is gone, or another's by now."""
    if task.state not in {OperationState.FAILED, OperationState.CANCELLED} or task.machine_id is None:
        return None
    try:
        return await visit.services.machines.read(task.system_id or "", caller=visit.caller)
    except NotFound:
        return None


async def _failed_console(visit: Visit, task: Operation, machine: MachineView | None) -> str:
    if task.kind is not OperationKind.DEPLOY or task.state is not OperationState.FAILED or machine is None:
        return ""
    return await failed_console(visit, machine, operation_id=task.id)


def _may_cancel(caller: Caller, task: Operation) -> bool:
    is_own_bulk = task.kind is OperationKind.BULK and task.account_id == caller.account_id
    return (caller.is_admin or is_own_bulk) and not task.state.ended and not task.cancel_requested


async def cancel(visit: Visit) -> Reply:
    """Asks first: what was begun on a host may be undone there."""
    undo = text("It does not continue afterwards, but it can be requested again.")
    title, done = constant("Cancel task #{id}?"), text("The task is being cancelled.")
    return await _end(visit, "cancel", title=title, button=text("Cancel task"), undo=undo, done=done)


async def abandon(visit: Visit) -> Reply:
    """Asks first, and why: nothing more is undone."""
    title, done = constant("Abandon task #{id}?"), text("The task was abandoned.")
    button = text("Abandon task")
    return await _end(visit, "abandon", title=title, button=button, undo=NO_UNDO, done=done, fields=(_WHY,))


async def _end(
    visit: Visit, op: str, *, title: str, button: str, undo: str, done: str, fields: Sequence[FormField] = ()
) -> Reply:
    """Asks with what a dry run says. `title` has `{id}`."""
    task = await visit.services.operations.read(operation_id_in(visit.path["task"]), caller=visit.caller)
    path = {"id": str(task.id)}
    plan = await visit.act(OPERATION, "POST", op, path=path, fields={"dry_run": "true"})
    # The sentences name the state, which changes often. That something may have to be undone on a host matters.
    plan = {**plan, COMPARED: ["reached_host"] if task.reached_host else []}

    async def run() -> Reply:
        answers = {one.name: visit.request.given(one.name) for one in fields}
        await visit.act(OPERATION, "POST", op, path=path, fields=answers)
        return redirect_with_note(visit, "tasks", task.id, text=done)

    question = Question(
        title=text(title, id=task.id),
        section="tasks",
        crumbs=((text("Tasks"), page_url("tasks")), (f"#{task.id}", page_url("tasks", task.id))),
        button=button,
        back=page_url("tasks", task.id),
        undo=undo,
        is_dangerous=True,
        fields=fields,
    )
    return await ask(visit, question, run, plan=plan)


async def note(visit: Visit) -> Reply:
    """The note of a task on another page, as it is now."""
    task = await visit.services.operations.read(operation_id_in(visit.path["task"]), caller=visit.caller)
    return visit.fragment("tasks/note.html", task=task)


async def log_text(visit: Visit) -> Reply:
    """The log as a text to keep."""
    task = await visit.services.operations.read(operation_id_in(visit.path["task"]), caller=visit.caller)
    lines = [_line(line) for line in await visit.services.operations.log(task.id)]
    headers = {"Content-Disposition": f'attachment; filename="task-{task.id}.log"'}
    return Reply(status=200, body="".join(lines).encode("utf-8", "replace"), headers=headers)


def _line(line: LogLine) -> str:
    facts = " ".join(f"{name}={value}" for name, value in line.details.items())
    return f"{line.at.isoformat()} {line.step or '-'} {line.message} {facts}".rstrip() + "\n"


PAGES = (
    Page(path="tasks/<task>", handle=show),
    Page(path="tasks/<task>/log", handle=log_text),
    Page(path="tasks/<task>/note", handle=note),
    *form_pages("tasks/<task>/cancel", cancel),
    *form_pages("tasks/<task>/abandon", abandon),
)
