"""What can be done with one VM at once, and its removal."""

from __future__ import annotations

from typing import Any

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.model import MachineState, MachineView
from regiond.ui.machines.machine_actions import ACTIONS, owns
from regiond.ui.page import Page, Visit, form_pages, redirect


async def failed_console(visit: Visit, machine: MachineView, *, operation_id: int | None = None) -> str:
    """The last lines of the console before its deployment failed; empty if the visitor may not see them."""
    if machine.state is not MachineState.FAILED_DEPLOYMENT or not owns(visit.caller, machine):
        return ""
    return await visit.services.consoles.of_failure(visit.caller, machine.system_id, operation_id=operation_id)


async def act(visit: Visit) -> Reply:
    system_id, action = visit.path["system_id"], ACTIONS.get(visit.request.given("action"))
    if action is None:
        return redirect("vms", system_id)
    fields = {**action.fields, "comment": visit.request.given("comment") or None}
    found = await visit.act(MACHINE, "POST", action.op, path={"system_id": system_id}, fields=fields)
    return after(found, system_id)


async def show_again(visit: Visit) -> Reply:
    """Answers a reload after an action that was refused."""
    return redirect("vms", visit.path["system_id"])


async def delete(visit: Visit) -> Reply:
    return await _remove(visit, "Delete", "VM", "DELETE", None)


async def abort(visit: Visit) -> Reply:
    return await _remove(visit, "Abort", "deployment", "POST", "abort")


async def _remove(visit: Visit, verb: str, what: str, method: str, op: str | None) -> Reply:
    """Shows what the removal deletes and keeps, or begins it. The name is typed for one that deletes something."""
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    path = {"system_id": machine.system_id}
    plan = await visit.act(MACHINE, method, op, path=path, fields={"dry_run": "true"})
    typed, error = visit.request.given("name"), ""
    if visit.request.method == "POST":
        if typed == machine.hostname or plan["confirm"] != "name":
            return after(await visit.act(MACHINE, method, op, path=path), machine.system_id)
        error = f"Type the name of the VM, {machine.hostname}."
    return await visit.page(
        "machines/remove.html",
        title=f"{verb} {machine.hostname}" if what == "VM" else f"{verb} {what} of {machine.hostname}",
        section="vms",
        status=422 if error else 200,
        verb=verb,
        what=what,
        vm=machine,
        plan=plan,
        typed=typed,
        error=error,
    )


def after(found: Any, system_id: str) -> Reply:
    """To the task if there is one."""
    if isinstance(found, dict) and "kind" in found and "id" in found:
        return redirect("tasks", found["id"])
    return redirect("vms", system_id)


PAGES = (
    Page(path="vms/<system_id>/act", handle=show_again),
    Page(path="vms/<system_id>/act", method="POST", handle=act),
    *form_pages("vms/<system_id>/delete", delete),
    *form_pages("vms/<system_id>/abort", abort),
)
