"""The rules for devices and their NICs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from common.errors import InvalidRequest, NotAllowed, NotFound, WrongState
from regiond.groups.model import Zone
from regiond.machines.core.nics.model import ADDRESSED, check_interface_name
from regiond.machines.core.ownership_rules import check_owner
from regiond.machines.values.devices import (
    MAX_DEVICE_NICS,
    MAX_DEVICES,
    MAX_OWN_DEVICES,
    MAX_OWN_DEVICES_OF_ADMIN,
    DeviceNicView,
    DeviceView,
)
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import LinkMode, LinkRequest
from regiond.machines.values.states import MachineState
from regiond.networks.model import Subnet, Vlan
from regiond.requests.caller import Caller

_PARENT_STATES = (MachineState.ALLOCATED, MachineState.DEPLOYING, MachineState.DEPLOYED)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)


def check_parent(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed, and WrongState unless the machine is allocated or deployed: its release deletes devices."""
    check_owner(caller, machine)
    if machine.state not in _PARENT_STATES:
        raise WrongState(
            f"{machine.hostname} is not allocated or deployed: allocate it before you register devices on it.",
            state=machine.state.value,
        )


def check_own_device(caller: Caller, device: DeviceView) -> None:
    """Raises NotAllowed unless the caller registered the device, which is on no machine, or is an administrator."""
    if not (caller.is_admin or device.belongs_to(caller)):
        raise NotAllowed(f"You do not own the device {device.hostname}.")


def check_own_count(caller: Caller, count: int) -> None:
    """Raises InvalidRequest if the caller, who has `count` devices on no machine, can have no further one."""
    if count >= (MAX_OWN_DEVICES_OF_ADMIN if caller.is_admin else MAX_OWN_DEVICES):
        raise InvalidRequest(
            f"{caller.username} has {count} devices that are on no machine; an account has at most {MAX_OWN_DEVICES}, "
            f"an administrator {MAX_OWN_DEVICES_OF_ADMIN}. Delete one first."
        )


def check_zone(parent: str | None, zone: Zone, zone_id: int | None) -> None:
    """Raises InvalidRequest under `zone` if a device on the machine `parent`, in `zone`, cannot be in this zone."""
    if parent is not None and zone_id not in (None, zone.id):
        reason = f"The device is on the machine {parent}, and so in its zone, {zone.name}: change that of the machine."
        raise InvalidRequest.of({"zone": [reason]})


def check_device_count(machine: MachineView, count: int) -> None:
    """Raises InvalidRequest under `parent` if the machine, which has `count` devices, can have no further one."""
    if count >= MAX_DEVICES:
        reason = f"{machine.hostname} has {count} devices; a machine has at most {MAX_DEVICES}. Delete one first."
        raise InvalidRequest.of({"parent": [reason]})


def checked_macs(texts: Iterable[str]) -> list[str]:
    """Returns the MAC addresses of a new device, each once. Raises InvalidRequest under `mac_addresses`."""
    found = list(dict.fromkeys(checked_mac(one, field="mac_addresses") for one in texts))
    if not 1 <= len(found) <= MAX_DEVICE_NICS:
        reason = f"{len(found)} MAC addresses; a device has 1 to {MAX_DEVICE_NICS} interfaces."
        raise InvalidRequest.of({"mac_addresses": [reason]})
    return found


def checked_mac(text: str, *, field: str = "mac_address") -> str:
    """Returns the address in lower case with colons. Raises InvalidRequest."""
    found = text.strip().lower().replace("-", ":")
    if _MAC.fullmatch(found) is None:
        raise InvalidRequest.of({field: [f"{text[:40]!r} is not a MAC address such as 52:54:00:12:34:56."]})
    return found


def checked_name(device: DeviceView, name: str, nic: DeviceNicView | None = None) -> str:
    """Returns the name of a NIC. Raises InvalidRequest if it is malformed or another NIC of the device has it."""
    check_interface_name(name)
    if any(one.name == name and one != nic for one in device.nics):
        raise InvalidRequest.of({"name": [f"{device.hostname} has another interface named {name}."]})
    return name


def free_name(device: DeviceView) -> str:
    """Returns the first of eth0, eth1 … that no NIC of the device has."""
    names = {nic.name for nic in device.nics}
    return next(name for number in range(len(names) + 1) if (name := f"eth{number}") not in names)


def check_nic_count(device: DeviceView) -> None:
    """Raises InvalidRequest if the device can have no further NIC."""
    if len(device.nics) >= MAX_DEVICE_NICS:
        raise InvalidRequest(
            f"{device.hostname} has {len(device.nics)} interfaces; a device has at most {MAX_DEVICE_NICS}."
        )


def check_vlan(machine: MachineView, vlan: Vlan, allowed: Iterable[Vlan], *, field: str, what: str) -> None:
    """Raises InvalidRequest under `field` unless `vlan`, the VLAN of `what`, is a VLAN of the machine's NICs."""
    known = tuple(allowed)
    if any(one.id == vlan.id for one in known):
        return
    if known:
        own = " or ".join(one.described for one in known)
        reason = (
            f"{what} is on {vlan.described}, and the NICs of {machine.hostname} are on {own}: a device can be reached "
            "only through the NICs of its machine."
        )
    else:
        reason = (
            f"The VLANs of the NICs of {machine.hostname} are unknown, so its devices have no subnets: set the VLANs "
            f"of the interfaces of the VM host {machine.host_name} first."
        )
    raise InvalidRequest.of({field: [reason]})


def find_nic(device: DeviceView, nic_id: int) -> DeviceNicView:
    """Returns the NIC. Raises NotFound."""
    found = next((nic for nic in device.nics if nic.id == nic_id), None)
    if found is None:
        raise NotFound(f"{device.hostname} has no interface {nic_id} any more.")
    return found


def check_link(device: DeviceView, nic: DeviceNicView, request: LinkRequest, subnet: Subnet | None) -> None:
    """Raises InvalidRequest by field if the NIC cannot have this link."""
    if request.mode in ADDRESSED and subnet is None:
        raise InvalidRequest.of({"subnet": [f"A link with mode {request.mode.value} needs a subnet."]})
    if request.ip_address and request.mode is not LinkMode.STATIC:
        raise InvalidRequest.of({"ip_address": ["An address can be given only with mode=STATIC."]})
    if request.default_gateway:
        raise InvalidRequest.of({"default_gateway": ["Innkeeper does not configure the routes of devices."]})
    if nic.ip_address is not None and not request.force:
        raise InvalidRequest(
            f"{nic.name} of {device.hostname} is linked already, with {nic.ip_address}, and an interface has one link. "
            "Unlink it first, or give force=true to replace it."
        )
    if subnet is not None and nic.vlan is not None and nic.subnet is None and nic.vlan.id != subnet.vlan.id:
        raise InvalidRequest.of(
            {
                "subnet": [
                    f"The subnet {subnet.cidr} is on {subnet.vlan.described}, and {nic.name} of {device.hostname} on "
                    f"{nic.vlan.described}. Change the VLAN of the interface first."
                ]
            }
        )


def changes_text(was: DeviceNicView, now: DeviceNicView) -> str | None:
    """Returns the changes of a NIC as text for events, such as `is named eth7`; None if nothing changed."""
    mtu = "that of its VLAN" if now.mtu is None else str(now.mtu)
    changed = {
        f"is named {now.name}": was.name != now.name,
        f"has the MAC address {now.mac_address}": was.mac_address != now.mac_address,
        f"is on {now.vlan.described}" if now.vlan else "is on no VLAN": was.vlan != now.vlan,
        f"has the MTU {mtu}": was.mtu != now.mtu,
        f"has the tags {', '.join(now.tags)}" if now.tags else "has no tags": was.tags != now.tags,
    }
    return " and ".join(text for text, is_changed in changed.items() if is_changed) or None


def released_text(nics: Iterable[DeviceNicView]) -> tuple[str, ...]:
    """Returns the effect of a deletion of the NICs on their addresses, if they have any."""
    addresses = [str(nic.ip_address) for nic in nics if nic.ip_address is not None]
    return (f"Its addresses are released: {', '.join(addresses)}.",) if addresses else ()
