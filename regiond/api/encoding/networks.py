"""Networks as MAAS clients decode them: VLANs, subnets, fabrics and spaces nest in each other, each time complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regiond.api.encoding.operations import moment
from regiond.api.paths import uri
from regiond.networks.model import (
    NO_SPACE,
    Address,
    Fabric,
    HostInterface,
    InterfaceLink,
    IpRange,
    Space,
    Subnet,
    UsedAddress,
    Vlan,
)
from regiond.networks.usage import Span, usable

USUAL_MTU = 1500
NO_SPACE_ID = -1
_STICKY, _DISCOVERED = (1, "Sticky"), (6, "Discovered")


def encode_vlan(vlan: Vlan) -> dict[str, Any]:
    """`dhcp_on` would mean DHCP of ours, which is none; `dhcp` says that a hypervisor's network there has a server."""
    return {
        "id": vlan.id,
        "vid": vlan.vid,
        "name": vlan.name,
        "description": vlan.description,
        "mtu": vlan.mtu,
        "fabric": vlan.fabric_name,
        "fabric_id": vlan.fabric_id,
        "space": vlan.space_name or NO_SPACE,
        "dhcp_on": False,
        "dhcp": vlan.dhcp,
        "primary_rack": None,
        "secondary_rack": None,
        "external_dhcp": None,
        "relay_vlan": None,
        "resource_uri": uri("vlans", vlan.id),
    }


def encode_subnet(subnet: Subnet) -> dict[str, Any]:
    return {
        "id": subnet.id,
        "name": subnet.name,
        "cidr": str(subnet.cidr),
        "description": subnet.description,
        "vlan": encode_vlan(subnet.vlan),
        "space": subnet.vlan.space_name or NO_SPACE,
        "gateway_ip": _text(subnet.gateway_ip),
        "dns_servers": [str(server) for server in subnet.dns_servers],
        "managed": subnet.managed,
        "allow_dns": subnet.allow_dns,
        "allow_proxy": subnet.allow_proxy,
        "active_discovery": subnet.active_discovery,
        "rdns_mode": subnet.rdns_mode,
        "disabled_boot_architectures": [],
        "resource_uri": uri("subnets", subnet.id),
    }


def encode_fabric(fabric: Fabric) -> dict[str, Any]:
    return {
        "id": fabric.id,
        "name": fabric.name,
        "class_type": fabric.class_type or None,
        "description": fabric.description,
        "vlans": [encode_vlan(vlan) for vlan in fabric.vlans],
        "resource_uri": uri("fabrics", fabric.id),
    }


def encode_space(space: Space) -> dict[str, Any]:
    return {
        "id": space.id,
        "name": space.name,
        "description": space.description,
        "vlans": [encode_vlan(vlan) for vlan in space.vlans],
        "subnets": [encode_subnet(subnet) for subnet in space.subnets],
        "resource_uri": uri("spaces", NO_SPACE if space.id == NO_SPACE_ID else space.id),
    }


def encode_range(one: IpRange) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": one.type,
        "start_ip": str(one.start_ip),
        "end_ip": str(one.end_ip),
        "comment": one.comment,
        "subnet": encode_subnet(one.subnet),
        "user": None,
        "learned": one.learned,
        "resource_uri": uri("ipranges", one.id),
    }


def encode_free(span: Span) -> dict[str, Any]:
    return {"start": str(span.start), "end": str(span.end), "num_addresses": span.count}


def encode_taken(span: Span) -> dict[str, Any]:
    return {**encode_free(span), "purpose": list(span.purposes)}


def encode_statistics(subnet: Subnet, left: Sequence[Span]) -> dict[str, Any]:
    """`left` are the spans that nobody has."""
    whole = usable(subnet)
    available = sum(span.count for span in left)
    usage = (whole.count - available) / whole.count
    return {
        "num_available": available,
        "largest_available": max((span.count for span in left), default=0),
        "num_unavailable": whole.count - available,
        "total_addresses": whole.count,
        "usage": usage,
        "usage_string": f"{usage:.0%}",
        "available_string": f"{1 - usage:.0%}",
        "first_address": str(whole.start),
        "last_address": str(whole.end),
        "ip_version": subnet.cidr.version,
    }


def encode_used_address(used: UsedAddress) -> dict[str, Any]:
    kind, kind_name = _STICKY if used.machine else _DISCOVERED
    return {
        "ip": str(used.address),
        "alloc_type": kind,
        "alloc_type_name": kind_name,
        "system_id": used.machine,
        "host": used.host,
    }


def encode_link(link_id: int, mode: str, subnet: Subnet | None, address: Address | str | None) -> dict[str, Any]:
    """What there is not is left out: clients have a default for a missing key, and none for null."""
    link: dict[str, Any] = {"id": link_id, "mode": mode}
    if subnet is not None:
        link["subnet"] = encode_subnet(subnet)
    if address is not None:
        link["ip_address"] = str(address)
    return link


def encode_host_interface(interface: HostInterface, all_of_host: Sequence[HostInterface]) -> dict[str, Any]:
    children = [other.name for other in all_of_host if other.parent == interface.name]
    return {
        "resource_uri": uri("nodes", interface.host_system_id, "interfaces", interface.id),
        "id": interface.id,
        "name": interface.name,
        "type": interface.type,
        "enabled": interface.active,
        "tags": list(interface.tags),
        "vlan": None if interface.vlan is None else encode_vlan(interface.vlan),
        "links": [_host_link(link) for link in interface.links],
        "mac_address": interface.mac_address,
        "effective_mtu": USUAL_MTU if interface.vlan is None else interface.vlan.mtu,
        "parents": [interface.parent] if interface.parent else [],
        "children": children,
        "system_id": interface.host_system_id,
        **encode_card(link_connected=interface.active, speed_mbps=interface.link_speed_mbps or 0),
        "sriov_max_vf": interface.virtual_functions,
        "attach_type": interface.kind,
        "attachable": interface.attachable,
        "dhcp": interface.dhcp,
        "vid": interface.vid,
        "vlan_chosen": interface.vlan_chosen,
        "missing_since": moment(interface.missing_since),
    }


def encode_card(*, link_connected: bool, speed_mbps: int) -> dict[str, Any]:
    """What clients decode of a card besides its networks, most of which nobody tells us."""
    return {
        "discovered": [],
        "params": "",
        "link_connected": link_connected,
        "interface_speed": speed_mbps,
        "link_speed": speed_mbps,
        "numa_node": None,
        "sriov_max_vf": 0,
        "vendor": None,
        "product": None,
        "firmware_version": None,
    }


def _host_link(link: InterfaceLink) -> dict[str, Any]:
    mode = "link_up" if link.address is None else "static"
    return encode_link(link.subnet.id, mode, link.subnet, link.address)


def _text(address: Address | None) -> str | None:
    return None if address is None else str(address)
