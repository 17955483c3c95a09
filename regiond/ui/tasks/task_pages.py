"""Tasks: the list, and one with its steps, log and placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from common.serialization import from_dict
from regiond.api.replies import Reply
from regiond.api.resources.operations.operations import OPERATION
from regiond.api.urls import operation_id_in
from regiond.caller import Caller
from regiond.machines.bulk.progress import BulkProgress, BulkRequest, progress
from regiond.operations.model import OPEN_STATES, Child, LogLine, Operation, OperationKind, OperationState
from regiond.ui.forms.question import Question, ask
from regiond.ui.machines.compose_again import form_again
from regiond.ui.machines.details.failed_console import failed_console
from regiond.ui.machines.machine_actions import ACTIONS
from regiond.ui.page import Page, Visit, form_pages, redirect_with_note
from regiond.ui.run_steps import StepState, run_steps
from regiond.ui.web_request import page_url

_PAGE = 50
_MOST_CHILDREN = 1000
_STATES: Mapping[str, tuple[str, ...]] = {
    "running": tuple(OPEN_STATES),
    "failed": ("failed",),
    "ended": ("succeeded", "failed", "cancelled"),
}
_NO_HOST = 0  # has no task: the host that the address names does not exist, or may not be seen
_POWER = {"on": "start", "off": "stop", "force_off": "off", "cycle": "restart"}
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
        progress=progress(from_dict(task.request, BulkRequest), children) if task.kind is OperationKind.BULK else None,
    )


async def show_list(visit: Visit) -> Reply:
    request = visit.request
    shown, before, host = request.option("show"), request.option("before"), request.option("host")
    found = await visit.services.operations.list(
        states=_STATES.get(shown, ()),
        host_id=await _host_id(visit, host),
        username=request.option("user") or None,
        text=request.option("q").strip(),
        limit=_PAGE + 1,
        before_id=int(before) if before.isdecimal() and len(before) < 19 else None,
        caller=visit.caller,
    )
    tasks = found[:_PAGE]
    return await visit.page(
        "tasks/list.html",
        title="Tasks",
        section="tasks",
        tasks=tasks,
        shown=shown,
        text=request.option("q"),
        user=request.option("user"),
        host=host,
        hosts=await visit.services.hosts.names(caller=visit.caller),
        older=request.url(before=str(tasks[-1].id)) if len(found) > _PAGE else None,
        newest=request.url(before=None) if before else None,
    )


async def _host_id(visit: Visit, name: str) -> int | None:
    if not name:
        return None
    found = await visit.services.hosts.ids_of([name], caller=visit.caller)
    return next(iter(sorted(found.get(name, ()))), _NO_HOST)


async def show(visit: Visit) -> Reply:
    operations = visit.services.operations
    task = await operations.read(operation_id_in(visit.path["task"]), caller=visit.caller)
    log = await operations.log(task.id)
    steps = run_steps(log, task.state)
    return await visit.page(
        "tasks/task.html",
        title=f"Task {task.id}",
        section="tasks",
        task=task,
        log=log,
        steps=steps,
        steps_done=sum(step.state is StepState.DONE for step in steps),
        parts=parts_of(
            task,
            await operations.children(task.id) if task.kind is OperationKind.BULK else (),
            await operations.list(parent_id=task.id, limit=_MOST_CHILDREN, caller=visit.caller),
        ),
        placement=task.explanation,
        wait_reason=await operations.wait_reason(task),
        requested=_requested(task),
        may_cancel=_may_cancel(visit.caller, task),
        retry=retry_of(task),
        failed_console=await _failed_console(visit, task),
    )


async def _failed_console(visit: Visit, task: Operation) -> str:
    if task.kind is not OperationKind.DEPLOY or task.state is not OperationState.FAILED or task.machine_id is None:
        return ""
    machine = await visit.services.machines.read(task.system_id or "", caller=visit.caller)
    return await failed_console(visit, machine, operation_id=task.id)


def _may_cancel(caller: Caller, task: Operation) -> bool:
    is_own_bulk = task.kind is OperationKind.BULK and task.account_id == caller.account_id
    return (caller.is_admin or is_own_bulk) and not task.state.ended and not task.cancel_requested


@frozen(kw_only=True)
class Retry:
    """A way to begin the same again: a form to post, or a page that asks first."""

    url: str
    action: str = ""
    is_post: bool = True


def retry_of(task: Operation) -> Retry | None:
    """None unless the task failed and its object still has it to do."""
    if task.state not in {OperationState.FAILED, OperationState.CANCELLED}:
        return None
    if task.kind is OperationKind.REFRESH and task.host_id is not None:
        return Retry(url=page_url("hosts", task.host_id, "refresh"))
    if task.kind is OperationKind.COMPOSE and form_again(task.request) is not None:
        return Retry(url=page_url("compose", query={"task": str(task.id)}), is_post=False)
    return None if task.machine_id is None or task.system_id is None else _on_machine(task, task.system_id)


def _on_machine(task: Operation, system_id: str) -> Retry | None:
    if task.kind is OperationKind.POWER and (action := _POWER.get(str(task.request.get("action")))):
        if ACTIONS[action].asks:
            return Retry(url=page_url("vms", system_id, "act", query={"action": action}), is_post=False)
        return Retry(url=page_url("vms", system_id, "act"), action=action)
    if task.kind in {OperationKind.DELETE, OperationKind.RELEASE, OperationKind.DEPLOY}:
        return Retry(url=page_url("vms", system_id, task.kind.value), is_post=False)
    return None


def _requested(task: Operation) -> list[tuple[str, str]]:
    """The plain values of the request, of a compose those that it was asked for; nested ones are shown by the API."""
    request = task.request.get("requested") or task.request.get("intent", {}).get("request") or task.request
    if task.kind is OperationKind.DEPLOY:
        return [("image", f"{request['osystem']}/{request['distro_series']}"), ("before", str(request["was"]))]
    return [("before" if name == "was" else name, value) for name, value in _plain(request)]


def _plain(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name.replace("_mib", ", MiB").replace("_", " "), str(value))
        for name, value in request.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    ]


async def cancel(visit: Visit) -> Reply:
    """Asks first: what was begun on a host may be undone there."""
    task = await visit.services.operations.read(operation_id_in(visit.path["task"]), caller=visit.caller)
    path = {"id": str(task.id)}
    plan = await visit.act(OPERATION, "POST", "cancel", path=path, fields={"dry_run": "true"})

    async def run() -> Reply:
        await visit.act(OPERATION, "POST", "cancel", path=path)
        return redirect_with_note(visit, "tasks", task.id, text="The task is being cancelled.")

    question = Question(
        title=f"Cancel task #{task.id}?",
        section="tasks",
        crumbs=(("Tasks", page_url("tasks")), (f"#{task.id}", page_url("tasks", task.id))),
        button="Cancel task",
        back=page_url("tasks", task.id),
        undo="It does not continue afterwards, but it can be requested again.",
        effects=plan["effects"],
        is_dangerous=True,
    )
    return await ask(visit, question, run)


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
    Page(path="tasks", handle=show_list),
    Page(path="tasks/<task>", handle=show),
    Page(path="tasks/<task>/log", handle=log_text),
    Page(path="tasks/<task>/note", handle=note),
    *form_pages("tasks/<task>/cancel", cancel),
)
