"""The rules for devices and their NICs. Pure."""

from __future__ import annotations

import re

from common.errors import InvalidRequest, NotFound, WrongState
from regiond.caller import Caller
from regiond.machines.device_model import DeviceNicView, DeviceView
from regiond.machines.model import LinkMode, LinkRequest, MachineState, MachineView
from regiond.machines.nics.model import ADDRESSED
from regiond.machines.ownership_rules import check_owner
from regiond.networks.model import Subnet

MAX_NICS = 64
_PARENT_STATES = (MachineState.ALLOCATED, MachineState.DEPLOYING, MachineState.DEPLOYED)
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,14}", re.ASCII)


def check_parent(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed, and WrongState unless the machine is allocated or deployed: its release deletes devices."""
    check_owner(caller, machine)
    if machine.state not in _PARENT_STATES:
        raise WrongState(
            f"{machine.hostname} is not allocated or deployed: allocate it before you register devices on it.",
            state=machine.state.value,
        )


def checked_mac(text: str, *, field: str = "mac_address") -> str:
    """Returns it in lower case with colons. Raises InvalidRequest."""
    found = text.strip().lower().replace("-", ":")
    if _MAC.fullmatch(found) is None:
        raise InvalidRequest.of({field: [f"{text[:40]!r} is not a MAC address such as 52:54:00:12:34:56."]})
    return found


def checked_name(device: DeviceView, name: str, nic: DeviceNicView | None = None) -> str:
    """Returns the name of a NIC. Raises InvalidRequest if it is malformed or another NIC of the device has it."""
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest.of(
            {"name": [f"{name!r} is not a name of an interface: 1 to 15 letters, digits, . _ and -."]}
        )
    if any(one.name == name and one != nic for one in device.nics):
        raise InvalidRequest.of({"name": [f"{device.hostname} has another interface named {name}."]})
    return name


def free_name(device: DeviceView) -> str:
    """The first of eth0, eth1 … that no NIC of the device has."""
    names = {nic.name for nic in device.nics}
    return next(name for number in range(len(names) + 1) if (name := f"eth{number}") not in names)


def find_nic(device: DeviceView, nic_id: int) -> DeviceNicView:
    """Raises NotFound."""
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
                    f"The subnet {subnet.cidr} is on the VLAN {subnet.vlan.id}, and {nic.name} of {device.hostname} on "
                    f"{nic.vlan.id}. Change the VLAN of the interface first."
                ]
            }
        )
