"""The actions that the page of a VM offers to its user, in the VM's state. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from common.errors import NotAllowed, WrongState
from common.values import PowerState
from regiond.machines.arrivals.clones.model import CLONEABLE
from regiond.machines.core.ownership_rules import check_deployable, may_act, may_delete
from regiond.machines.values.lifecycle import MachineEvent, next_state
from regiond.machines.values.model import MachineView
from regiond.machines.values.states import TRANSIENT, MachineState
from regiond.requests.caller import Caller
from regiond.ui.texts import constant, text


@frozen(kw_only=True)
class Action:
    """One button: the op of the API, and in which power states it is offered. `done` says that it is.

    One that `asks` is a link to its question: see `machine_questions.py`.
    """

    op: str
    label: str
    icon: str
    done: str = ""
    asks: bool = False
    power_states: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(factory=dict)


ACTIONS: Mapping[str, Action] = {
    "start": Action(op="power_on", label=constant("Start"), icon="play", power_states=("off", "unknown")),
    "accept_off": Action(
        op="accept_off", label=constant("Accept that it is off"), icon="ok", done=constant("{name} should be off now.")
    ),
    "stop": Action(
        op="power_off",
        label=constant("Stop"),
        icon="stop",
        power_states=("on", "unknown"),
        fields={"stop_mode": "soft"},
        asks=True,
    ),
    "restart": Action(op="power_cycle", label=constant("Restart"), icon="restart", power_states=("on",), asks=True),
    "off": Action(
        op="power_off",
        label=constant("Power off"),
        icon="power",
        power_states=("on", "unknown"),
        fields={"stop_mode": "hard"},
        asks=True,
    ),
    "lock": Action(op="lock", label=constant("Lock"), icon="lock", done=constant("{name} is locked.")),
    "unlock": Action(op="unlock", label=constant("Unlock"), icon="key", done=constant("{name} is unlocked.")),
    "broken": Action(
        op="mark_broken",
        label=constant("Mark broken"),
        icon="warn",
        done=constant("{name} is marked broken."),
        asks=True,
    ),
    "fixed": Action(op="mark_fixed", label=constant("Mark fixed"), icon="ok", done=constant("{name} is marked fixed.")),
    "commission": Action(op="commission", label=constant("Commission"), icon="refresh"),
}
_COMMISSIONED = frozenset({MachineState.NEW, MachineState.FAILED})  # a refresh of the host makes them ready
_ACTING = frozenset({MachineState.READY, MachineState.ALLOCATED, MachineState.DEPLOYED, MachineState.FAILED_DEPLOYMENT})


def sees_console(caller: Caller, machine: MachineView) -> bool:
    """Whether the VM is on a host and the caller may see what it writes, which can be secrets."""
    return machine.host_id is not None and machine.state is not MachineState.MISSING and may_act(caller, machine)


def offered(caller: Caller, machine: MachineView) -> dict[str, Action]:
    """The actions that the caller may use on the machine as it is now."""
    if not may_act(caller, machine) or machine.state in TRANSIENT:
        return {}
    names = [name for name, action in ACTIONS.items() if machine.power_state in action.power_states]
    if machine.locked:
        return {"unlock": ACTIONS["unlock"]}
    found = names if machine.state in _ACTING and machine.host_id is not None else []
    wants_on = machine.wanted_power is not None and machine.wanted_power.on
    found = [*found, "accept_off"] if machine.power_state == "off" and wants_on else found
    found = [*found, "lock"]
    found += ["broken"] if _allows(machine, MachineEvent.MARK_BROKEN) else []
    found += ["fixed"] if _allows(machine, MachineEvent.FIXED) else []
    found += ["commission"] if machine.state in _COMMISSIONED and machine.host_id is not None else []
    return {name: ACTIONS[name] for name in found}


def removals(caller: Caller, machine: MachineView) -> tuple[str, ...]:
    """`release` and `delete`, each with a page that tells what it removes."""
    if not may_act(caller, machine) or machine.locked or machine.unproven_since or machine.state in TRANSIENT:
        return ()
    releases = machine.state is not MachineState.READY and _allows(machine, MachineEvent.RELEASE)
    deletes = may_delete(caller, machine)
    return (*(("release",) if releases and machine.owner is not None else ()), *(("delete",) if deletes else ()))


def deployment_obstacle(caller: Caller, machine: MachineView) -> str | None:
    """Why the caller cannot deploy the machine as it is now; None if nothing is in the way. Images are not considered.

    Stock is allocated to whoever deploys it, and a ready machine in use to whoever it belongs to.
    """
    is_free = machine.state is MachineState.READY and machine.owner is None
    if not caller.may_operate(machine.pool.id):
        return text("Only operators of the resource pool {name} deploy its VMs.", name=machine.pool.name)
    try:
        check_deployable(caller, machine)
        if not is_free:
            next_state(machine.state, MachineEvent.DEPLOY)
    except (NotAllowed, WrongState) as error:
        return error.message
    if machine.host_id is None:
        return text("{hostname} is on no host.", hostname=machine.hostname)
    if machine.adopted or not machine.disks:
        return text(
            "{hostname} has no root disk that Innkeeper created: compose another VM.", hostname=machine.hostname
        )
    return None


def may_export(caller: Caller, machine: MachineView) -> bool:
    """Whether the caller may export the machine, which is off."""
    readable = machine.guest_id is not None and bool(machine.disks)
    return readable and machine.power_state == PowerState.OFF and may_act(caller, machine)


def may_rebuild(caller: Caller, machine: MachineView) -> bool:
    """Whether the caller may deploy the machine again, which has a system on a root disk that Innkeeper created."""
    created = bool(machine.disks) and not machine.adopted and machine.host_id is not None
    return created and not machine.locked and may_act(caller, machine) and _allows(machine, MachineEvent.REBUILD)


def may_clone(caller: Caller, machine: MachineView) -> bool:
    """Whether the caller may clone the machine when it is off. Also a locked one, which does not change."""
    return (
        may_act(caller, machine) and machine.state in CLONEABLE and machine.host_id is not None and bool(machine.disks)
    )


def may_abort(caller: Caller, machine: MachineView) -> bool:
    return machine.state is MachineState.DEPLOYING and may_act(caller, machine)


def _allows(machine: MachineView, event: MachineEvent) -> bool:
    try:
        next_state(machine.state, event)
    except WrongState:
        return False
    return True
