"""Tasks: the list, and one with its steps, log and placement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiond.api.replies import Reply
from regiond.api.resources.operations import OPERATION
from regiond.api.urls import operation_id_in
from regiond.operations.model import OPEN_STATES, Operation
from regiond.ui.page import Page, Visit, redirect

_PAGE = 50
_STATES: Mapping[str, tuple[str, ...]] = {
    "running": tuple(OPEN_STATES),
    "failed": ("failed",),
    "ended": ("succeeded", "failed", "cancelled"),
}


async def show_list(visit: Visit) -> Reply:
    shown, before = visit.request.option("show"), visit.request.option("before")
    found = await visit.services.operations.list(
        states=_STATES.get(shown, ()),
        limit=_PAGE + 1,
        before_id=int(before) if before.isdecimal() and len(before) < 19 else None,
        caller=visit.caller,
    )
    tasks = found[:_PAGE]
    older = visit.request.url(before=str(tasks[-1].id)) if len(found) > _PAGE else None
    newest = visit.request.url(before=None) if before else None
    return await visit.page(
        "tasks/list.html", title="Tasks", section="tasks", tasks=tasks, shown=shown, older=older, newest=newest
    )


async def show(visit: Visit) -> Reply:
    operation_id = operation_id_in(visit.path["task"])
    task = await visit.services.operations.read(operation_id, caller=visit.caller)
    return await visit.page(
        "tasks/task.html",
        title=f"Task {task.id}",
        section="tasks",
        task=task,
        log=await visit.services.operations.log(task.id),
        wait_reason=await visit.services.operations.wait_reason(task),
        requested=_requested(task),
        may_cancel=not task.state.ended and not task.cancel_requested and _may_cancel(visit, task),
    )


def _may_cancel(visit: Visit, task: Operation) -> bool:
    return visit.caller.is_admin or task.account_id == visit.caller.account_id


def _requested(task: Operation) -> list[tuple[str, str]]:
    """The plain values of the request; nested ones are shown by the API."""
    return [
        (name.replace("_", " "), str(value))
        for name, value in task.request.items()
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    ]


async def cancel(visit: Visit) -> Reply:
    task = operation_id_in(visit.path["task"])
    await visit.act(OPERATION, "POST", "cancel", path={"id": str(task)})
    return redirect("tasks", task)


async def log_text(visit: Visit) -> Reply:
    """The log as a text to keep."""
    task = await visit.services.operations.read(operation_id_in(visit.path["task"]), caller=visit.caller)
    lines = [_line(line) for line in await visit.services.operations.log(task.id)]
    headers = {"Content-Disposition": f'attachment; filename="task-{task.id}.log"'}
    return Reply(status=200, body="".join(lines).encode("utf-8", "replace"), headers=headers)


def _line(line: Any) -> str:
    facts = " ".join(f"{name}={value}" for name, value in line.details.items())
    return f"{line.at.isoformat()} {line.step or '-'} {line.message} {facts}".rstrip() + "\n"


PAGES = (
    Page(path="tasks", handle=show_list),
    Page(path="tasks/<task>", handle=show),
    Page(path="tasks/<task>/log", handle=log_text),
    Page(path="tasks/<task>/cancel", method="POST", handle=cancel),
)
