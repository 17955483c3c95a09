"""Rules of the order in which a machine tries its devices, and the plan of a change. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from common.boot import BootDevice, BootOrder, begins_with, missing_text, order_text
from common.errors import InvalidRequest, WrongState
from common.values import PowerState
from regiond.machines.values.boot import BootPlan
from regiond.machines.values.model import MachineView
from regiond.machines.values.resize import Takes
from regiond.requests.validation_messages import no_choice

_CHOICES = tuple(one.value for one in BootDevice)


def checked_order(words: Sequence[str]) -> BootOrder:
    """Returns the order. Raises InvalidRequest without a word, and for unknown and repeated ones."""
    unknown = [word for word in words if word not in _CHOICES]
    if not words:
        raise InvalidRequest.of({"order": [f"Name what to boot from, in order: {', '.join(_CHOICES)}."]})
    if unknown:
        raise InvalidRequest.of({"order": [no_choice(unknown[0], _CHOICES)]})
    if len(set(words)) != len(words):
        raise InvalidRequest.of({"order": ["Name each kind of device once."]})
    return tuple(map(BootDevice, words))


def check_has_devices(machine: MachineView, order: BootOrder) -> None:
    """Raises WrongState for a kind of which the machine has no device, or if its host does not list its guest."""
    if machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )
    present = present_devices(machine, order)
    missing = [one for one in order if one not in present]
    if missing:
        raise WrongState(missing_text(machine.hostname, missing))


def present_devices(machine: MachineView, order: BootOrder) -> BootOrder:
    """Returns the order without the kinds of which the machine has no device."""
    has = {
        BootDevice.DISK: bool(machine.disks),
        BootDevice.NETWORK: bool(machine.nics),
        BootDevice.ISO: bool(machine.boot.iso or machine.boot.next_iso),
    }
    return tuple(one for one in order if has[one])


def boot_plan(machine: MachineView, order: BootOrder, *, once: bool) -> BootPlan:
    return BootPlan(
        name=machine.hostname,
        order=order,
        once=once,
        takes_effect=_takes_effect(machine, order, once=once),
        effects=_effects(machine, order, once=once),
    )


def is_as_always(lasting: BootOrder | None, order: BootOrder) -> bool:
    """Returns whether a machine with this order of all starts does what `order` asks for; False if it is unknown."""
    return lasting is not None and begins_with(lasting, order)


def _takes_effect(machine: MachineView, order: BootOrder, *, once: bool) -> Takes:
    if is_as_always(machine.boot.lasting, order) and not (once and machine.boot.once):
        return Takes.NO_EFFECT
    if once:
        return Takes.AT_START
    return Takes.NOW if machine.power_state == PowerState.OFF else Takes.IF_POSSIBLE


def _effects(machine: MachineView, order: BootOrder, *, once: bool) -> tuple[str, ...]:
    name, asked, boot = machine.hostname, order_text(order), machine.boot
    usual = is_as_always(boot.lasting, order)
    if once:
        if usual:
            ended = f"Its next start is like the others: not from {order_text(boot.once)} first." if boot.once else ""
            return (f"{name} boots from {asked} first in any case.", *filter(None, [ended]))
        after = "" if boot.lasting is None else f" Later starts are from {order_text(boot.lasting)}, as before."
        return (f"{name} boots from {asked} first when Innkeeper next starts it, and only then.{after}",)
    effects = [f"{name} boots from {asked} first already."] if usual else [_lasting(machine, asked)]
    if boot.once:
        effects.append(f"Its next start by Innkeeper is from {order_text(boot.once)} first, as was asked for that one.")
    return tuple(effects)


def _lasting(machine: MachineView, asked: str) -> str:
    if machine.power_state == PowerState.OFF:
        return f"{machine.hostname} boots from {asked} first, from its next start on."
    return (
        f"{machine.hostname} is not disturbed, and boots from {asked} first from its next start on. If its hypervisor "
        "cannot change a running VM, Innkeeper makes the change when it next stops or starts it."
    )
