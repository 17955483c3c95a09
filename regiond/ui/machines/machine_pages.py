"""The page of one VM, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from regiond.api.replies import Reply
from regiond.api.resources.machines import MACHINE
from regiond.machines.model import TRANSIENT, MachineState, MachineView
from regiond.ui.page import Page, Visit, redirect

_MOST_TASKS = 20


@frozen(kw_only=True)
class Action:
    """One button: the op of the API, and in which states it is offered."""

    op: str
    label: str
    icon: str
    power_states: tuple[str, ...]
    fields: Mapping[str, str]


ACTIONS: Mapping[str, Action] = {
    "start": Action(op="power_on", label="Start", icon="play", power_states=("off", "unknown"), fields={}),
    "stop": Action(
        op="power_off", label="Stop", icon="stop", power_states=("on", "unknown"), fields={"stop_mode": "soft"}
    ),
    "off": Action(
        op="power_off", label="Power off", icon="power", power_states=("on", "unknown"), fields={"stop_mode": "hard"}
    ),
    "lock": Action(op="lock", label="Lock", icon="lock", power_states=(), fields={}),
    "unlock": Action(op="unlock", label="Unlock", icon="key", power_states=(), fields={}),
}
_ACTING = frozenset({MachineState.READY, MachineState.ALLOCATED})


async def show(visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    tasks = await visit.services.operations.list(system_id=machine.system_id, limit=_MOST_TASKS, caller=visit.caller)
    guest = None
    if machine.guest_id is not None:
        guest = await visit.services.hosts.guest(machine.guest_id, caller=visit.caller)
    return await visit.page(
        "machines/machine.html",
        title=machine.hostname,
        section="vms",
        vm=machine,
        guest=guest,
        tasks=tasks,
        actions=offered(visit, machine),
        may_delete=_owns(visit, machine) and machine.state not in TRANSIENT,
    )


def _owns(visit: Visit, machine: MachineView) -> bool:
    caller = visit.caller
    return caller.is_admin or (machine.belongs_to(caller) and caller.may_operate(machine.pool.id))


def offered(visit: Visit, machine: MachineView) -> dict[str, Action]:
    """The actions that the caller may use on the machine as it is now."""
    if not _owns(visit, machine) or machine.state not in _ACTING:
        return {}
    power = {name: action for name, action in ACTIONS.items() if machine.power_state in action.power_states}
    lock = "unlock" if machine.locked else "lock"
    return {**power, lock: ACTIONS[lock]}


async def act(visit: Visit) -> Reply:
    system_id, action = visit.path["system_id"], ACTIONS.get(visit.request.given("action"))
    if action is None:
        return redirect("vms", system_id)
    found = await visit.act(MACHINE, "POST", action.op, path={"system_id": system_id}, fields=dict(action.fields))
    return _after(found, system_id)


async def delete(visit: Visit) -> Reply:
    """Shows what the deletion removes, or with the typed name begins it."""
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    path = {"system_id": machine.system_id}
    typed, error = visit.request.given("name"), ""
    if visit.request.method == "POST":
        if typed == machine.hostname:
            return _after(await visit.act(MACHINE, "DELETE", path=path), machine.system_id)
        error = f"Type the name of the VM, {machine.hostname}."
    plan = await visit.act(MACHINE, "DELETE", path=path, fields={"dry_run": "true"})
    return await visit.page(
        "machines/delete.html",
        title=f"Delete {machine.hostname}",
        section="vms",
        status=422 if error else 200,
        vm=machine,
        plan=plan,
        typed=typed,
        error=error,
    )


def _after(found: Any, system_id: str) -> Reply:
    """To the task if there is one."""
    if isinstance(found, dict) and "kind" in found and "id" in found:
        return redirect("tasks", found["id"])
    return redirect("vms", system_id)


PAGES = (
    Page(path="vms/<system_id>", handle=show),
    Page(path="vms/<system_id>/act", method="POST", handle=act),
    Page(path="vms/<system_id>/delete", handle=delete),
    Page(path="vms/<system_id>/delete", method="POST", handle=delete),
)
