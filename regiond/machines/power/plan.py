"""Describes in words what a power action does to a machine as it is now. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from common.units import gb
from common.values import PowerAction, PowerState
from regiond.machines.values.model import MachineView
from regiond.machines.values.power import PowerPlan, PowerRequest

_STARTS = (PowerAction.ON, PowerAction.CYCLE)


def power_plan(machine: MachineView, action: PowerAction) -> PowerPlan:
    return PowerPlan(name=machine.hostname, effects=tuple(_effects(machine, action)))


def _effects(machine: MachineView, action: PowerAction) -> Iterator[str]:
    name, state = machine.hostname, machine.power_state
    if state == PowerState.UNKNOWN:
        yield f"The power state of {name} is not known: {_if_so(action)}."
    elif state == PowerState.OFF:
        yield f"{name} is started." if action in _STARTS else f"{name} is off already: nothing changes."
    elif action is PowerAction.ON:
        yield f"{name} runs already: it is not restarted."
    else:
        yield f"{name} {_stops(action)}."
    if action is PowerAction.CYCLE or (action is PowerAction.ON and state in (PowerState.OFF, PowerState.UNKNOWN)):
        yield from _at_its_start(machine)
    if machine.is_stock_now and PowerRequest(action=action).begins_use:
        yield f"It is in use then, no longer stock, and belongs to {machine.composed_by or 'administrators'}."


def _at_its_start(machine: MachineView) -> Iterator[str]:
    if machine.pending_size is not None:
        yield f"It starts with {machine.pending_size}, which is pending."
    for disk in machine.disks:
        if disk.pending_size_bytes is not None:
            yield f"Its disk {disk.title} gets {gb(disk.pending_size_bytes)} before that, which is pending."
    if machine.boot.once:
        yield f"This once it boots from {', then '.join(machine.boot.once)}."


def _if_so(action: PowerAction) -> str:
    if action is PowerAction.ON:
        return "it is started if it is off"
    return f"it {_stops(action)} if it runs" + (", else started" if action is PowerAction.CYCLE else "")


def _stops(action: PowerAction) -> str:
    if action is PowerAction.FORCE_OFF:
        return "is powered off at once, without a shutdown"
    stopped = "is shut down, by force if it does not stop in time"
    return f"{stopped}, and started again" if action is PowerAction.CYCLE else stopped
