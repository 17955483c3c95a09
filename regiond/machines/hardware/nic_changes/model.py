"""Rules of changes of NICs: what is refused, and what changes, in words. Pure."""

from __future__ import annotations

from common.errors import InvalidRequest, WrongState
from common.guests.guest_spec import NicSpec
from common.values import PowerState
from regiond.machines.core.nics.model import check_interface_name
from regiond.machines.devices.model import checked_mac
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicPlan, NicToAdd, NicToChange, NicView
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.model import NicAttachment
from regiond.placement.requirements import Condition, NicRequirement

MAX_NICS = 64


def check_listed(machine: MachineView) -> None:
    """Raises WrongState for a machine whose guest the host does not list."""
    if machine.guest_id is None:
        raise WrongState(
            f"{machine.host_name} does not list the VM of {machine.hostname}. Refresh the host: "
            f"innkeeper vm-host refresh {machine.host_name}"
        )


def check_addable(machine: MachineView) -> None:
    """Raises WrongState for a machine that has too many NICs, or whose guest the host does not list."""
    check_listed(machine)
    if len(machine.nics) >= MAX_NICS:
        raise WrongState(f"{machine.hostname} has {MAX_NICS} NICs, the most that a machine can have.")


def one_requirement(constraint: str) -> NicRequirement:
    """Returns what a NIC needs of the host. Raises InvalidRequest by field."""
    wanted = parse_interfaces(constraint)
    if len(wanted) != 1:
        raise InvalidRequest.of({"interfaces": [f"Name one NIC at a time, not {len(wanted)}."]})
    return wanted[0]


def requirement(machine: MachineView, nic: NicToAdd) -> NicRequirement | None:
    """Returns what the NIC needs of the host; None: the host's default network. Raises InvalidRequest by field."""
    if nic.constraint:
        return one_requirement(nic.constraint)
    return None if nic.vlan_id is None else _on_vlan(nic.vlan_id, nic.name or free_name(machine))


def changed_requirement(nic: NicView, change: NicToChange) -> NicRequirement | None:
    """Returns what the NIC needs of the host then; None: what it has. Raises InvalidRequest by field."""
    if change.constraint:
        return one_requirement(change.constraint)
    return None if change.vlan_id is None else _on_vlan(change.vlan_id, nic.name)


def _on_vlan(vlan_id: int, name: str) -> NicRequirement:
    return NicRequirement(label=name, conditions=(Condition(key="vlan", values=(f"id:{vlan_id}",)),))


def free_name(machine: MachineView) -> str:
    taken = {nic.name for nic in machine.nics}
    return next(name for number in range(len(taken) + 1) if (name := f"eth{number}") not in taken)


def checked_name(machine: MachineView, nic: NicToAdd, attachment: NicAttachment) -> str:
    """Returns the name of the NIC in its guest. Raises InvalidRequest for one that the machine has."""
    name = nic.name or (attachment.name if nic.constraint else free_name(machine))
    check_interface_name(name)
    if any(other.name == name for other in machine.nics):
        field = "interfaces" if nic.constraint else "name"
        raise InvalidRequest.of({field: [f"{machine.hostname} has a NIC named {name}."]})
    return name


def checked_address(mac_address: str) -> str:
    """Returns the MAC address in the usual form. Raises InvalidRequest for one that no NIC can have."""
    found = checked_mac(mac_address)
    if int(found[:2], 16) & 1:
        raise InvalidRequest.of({"mac_address": [f"{found} is a multicast address: its first byte must be even."]})
    return found


def check_address_deliverable(machine: MachineView, attachment: NicAttachment) -> None:
    if machine.adopted and attachment.ip is not None:
        raise WrongState(
            f"{machine.hostname} was adopted: Innkeeper does not configure its NICs. Leave the address out."
        )


def check_removable(machine: MachineView, nic: NicView) -> None:
    if nic.index == min(one.index for one in machine.nics):
        raise WrongState(
            f"{nic.name} is the NIC from which {machine.hostname} boots from the network. Every machine keeps one."
        )


def add_plan(machine: MachineView, name: str, attachment: NicAttachment) -> NicPlan:
    address = f" and the address {attachment.ip}" if attachment.ip is not None else ""
    where = attachment.source or "QEMU's user-mode network"
    when = "now" if machine.power_state == PowerState.OFF else "while it runs"
    return NicPlan(
        name=machine.hostname,
        effects=(
            f"{machine.hostname} gets the NIC {name} on {where} of {machine.host_name}{address}, {when}.",
            "The system in the VM has to configure it, unless it does so by itself.",
        ),
    )


def check_change(change: NicToChange) -> None:
    if not change.constraint and change.vlan_id is None and not change.mac_address:
        raise InvalidRequest.of({"interfaces": ["Name the network, the MAC address or both."]})


def change_plan(machine: MachineView, nic: NicView, after: NicSpec, address: str | None) -> NicPlan:
    """`address` is the static address that the NIC gets; None: it keeps what it has, or gets none."""
    effects = []
    if (after.kind, after.source) != (nic.kind, nic.source):
        where = after.source or "QEMU's user-mode network"
        given = f", with the address {address}" if address else ""
        effects.append(f"{nic.name} of {machine.hostname} is on {where} instead of {nic.source}{given}.")
    elif address:
        effects.append(f"{nic.name} of {machine.hostname} gets the address {address}.")
    if nic.ip_address is not None and after.address is None:
        effects.append(f"Its address {nic.ip_address} is free then.")
    if after.mac_address != nic.mac_address:
        effects.append(f"Its MAC address is {after.mac_address} instead of {nic.mac_address}.")
    if not effects:
        effects.append(f"{nic.name} of {machine.hostname} has all that already.")
    if machine.power_state != PowerState.OFF:
        effects.append("The VM runs: what its hypervisor cannot change meanwhile is refused, and nothing has changed.")
    effects.append("The system in the VM has to follow, or the next deployment configures it.")
    return NicPlan(name=machine.hostname, effects=tuple(effects))


def remove_plan(machine: MachineView, nic: NicView) -> NicPlan:
    effects = [f"{machine.hostname} loses the NIC {nic.name} ({nic.mac_address})."]
    if nic.ip_address is not None:
        effects.append(f"Its address {nic.ip_address} is free then.")
    if machine.power_state != PowerState.OFF:
        effects.append("The VM runs: its system has to give the NIC back.")
    return NicPlan(name=machine.hostname, effects=tuple(effects))
