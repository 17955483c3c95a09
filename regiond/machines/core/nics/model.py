"""The rules for changes of NICs: permitted states, callers and links. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from common.errors import InvalidRequest, NotFound, WrongState
from common.guests.cloud_init_network import INTERFACE_NAME
from regiond.machines.core.ownership_rules import check_may_change
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import LinkMode, LinkRequest, NicView
from regiond.machines.values.states import MAAS_STATUS, MachineState
from regiond.networks.model import Address, Subnet, Vlan
from regiond.requests.caller import Caller

CHANGEABLE = (MachineState.READY, MachineState.ALLOCATED)
MODES = {LinkMode.AUTO: "auto", LinkMode.STATIC: "static", LinkMode.DHCP: "dhcp", LinkMode.LINK_UP: "unconfigured"}
ADDRESSED = (LinkMode.AUTO, LinkMode.STATIC)
MAX_TAGS = 100
_TAG = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)


def check_may_change_nics(caller: Caller, machine: MachineView) -> None:
    """Raises NotAllowed as `check_may_change`.

    Raises WrongState for a machine that is adopted, or neither ready nor allocated.
    """
    check_may_change(caller, machine)
    if machine.adopted:
        raise WrongState(
            f"{machine.hostname} was adopted: Innkeeper did not create its NICs, and does not configure them."
        )
    if machine.state not in CHANGEABLE:
        raise WrongState(
            f"{machine.hostname} is {MAAS_STATUS[machine.state].name}: its NICs can be changed while it is Ready or "
            "Allocated.",
            state=machine.state.value,
        )


def find_nic(machine: MachineView, nic_id: int) -> NicView:
    """Returns the NIC. Raises NotFound."""
    found = next((nic for nic in machine.nics if nic.id == nic_id), None)
    if found is None:
        raise NotFound(f"{machine.hostname} has no NIC {nic_id} any more.")
    return found


def check_link(machine: MachineView, nic: NicView, request: LinkRequest, subnet: Subnet | None) -> None:
    """Raises InvalidRequest by field if the NIC cannot have this link."""
    if request.mode in ADDRESSED and subnet is None:
        raise InvalidRequest.of({"subnet": [f"A link with mode {request.mode.value} needs a subnet."]})
    if request.ip_address and request.mode is not LinkMode.STATIC:
        raise InvalidRequest.of({"ip_address": ["An address can be given only with mode=STATIC."]})
    if request.default_gateway:
        if request.mode not in ADDRESSED:
            raise InvalidRequest.of({"default_gateway": ["Only a link with mode AUTO or STATIC can be the gateway's."]})
        if subnet is not None and subnet.gateway_ip is None:
            raise InvalidRequest.of({"default_gateway": [_no_gateway(subnet)]})
    if nic.ip_address is not None and not request.force:
        raise InvalidRequest(
            f"{nic.name} of {machine.hostname} is linked already, with {nic.ip_address}, and a NIC has one link. "
            "Unlink it first, or give force=true to replace it."
        )


def check_vlan(machine: MachineView, nic: NicView, vlans: Iterable[Vlan], subnet: Subnet) -> None:
    """Raises InvalidRequest if the subnet is on none of `vlans`, the VLANs to which the NIC is attached."""
    known = tuple(vlans)
    if any(vlan.id == subnet.vlan.id for vlan in known):
        return
    if not known:
        reason = (
            f"The VLAN of {nic.name} is unknown: set that of the interface {nic.source or nic.kind} of the VM host "
            f"{machine.host_name}."
        )
    else:
        own = " or ".join(vlan.described for vlan in known)
        reason = (
            f"The subnet {subnet.cidr} is on {subnet.vlan.described}, and {nic.name} of {machine.hostname} is "
            f"attached to {own}. A NIC stays where it was attached at compose: compose a machine on that VLAN."
        )
    raise InvalidRequest.of({"subnet": [reason]})


def is_link_of(nic: NicView, link_id: int) -> bool:
    """Returns whether the NIC has the link. An address by DHCP is shown as a link with an id of its own."""
    return link_id == nic.link_id or any(one.id == link_id for one in nic.seen)


def gateway_version(machine: MachineView, nic: NicView, link_id: int | None) -> int:
    """Returns the IP version of the gateway of the NIC's link. Raises InvalidRequest without one."""
    if link_id is not None and link_id != nic.link_id:
        raise InvalidRequest.of({"link_id": [f"{nic.name} of {machine.hostname} has no link {link_id} of its own."]})
    if nic.ip_address is None or nic.subnet is None:
        raise InvalidRequest(
            f"{nic.name} of {machine.hostname} has no address that Innkeeper assigned: link it to a subnet with mode "
            "AUTO or STATIC first."
        )
    if nic.subnet.gateway_ip is None:
        raise InvalidRequest(_no_gateway(nic.subnet))
    return nic.ip_address.version


def check_interface_name(name: str) -> None:
    """Raises InvalidRequest under `name` if a NIC cannot have this name."""
    if INTERFACE_NAME.fullmatch(name) is None:
        raise InvalidRequest.of(
            {"name": [f"{name!r} is not a name of an interface: 1 to 15 letters, digits, . _ and -."]}
        )


def check_name(machine: MachineView, nic: NicView, name: str) -> None:
    """Raises InvalidRequest under `name`."""
    check_interface_name(name)
    if any(other.name == name and other.id != nic.id for other in machine.nics):
        raise InvalidRequest.of({"name": [f"{machine.hostname} has another NIC named {name}."]})


def checked_tags(tags: Iterable[str], *, field: str = "tags", of: str = "A NIC") -> tuple[str, ...]:
    """Returns each tag once. Raises InvalidRequest, with a message about `of`."""
    found = tuple(dict.fromkeys(tags))
    for tag in found:
        if _TAG.fullmatch(tag) is None:
            raise InvalidRequest.of({field: [f"{tag!r} is not a tag: 1 to 256 letters, digits, - and _."]})
    if len(found) > MAX_TAGS:
        raise InvalidRequest.of({field: [f"{of} has at most {MAX_TAGS} tags."]})
    return found


def link_text(mode: LinkMode, subnet: Subnet | None, address: Address | None) -> str:
    """Returns the link as text for events, such as `10.1.0.7 in 10.1.0.0/24 (AUTO)`."""
    where = "" if subnet is None else f" in {subnet.cidr}"
    return f"{address or 'no address'}{where} ({mode.value})" if mode is not LinkMode.DHCP else f"DHCP{where}"


def _no_gateway(subnet: Subnet) -> str:
    return f"The subnet {subnet.cidr} has no gateway. Set it first: innkeeper subnet update {subnet.id} gateway_ip=…"
