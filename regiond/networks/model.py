"""Fabrics, VLANs, subnets, spaces and the interfaces of hosts, as people see them and what they may say of them."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from attrs import frozen

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

NO_SPACE = "undefined"  # what clients call the space of what is in none
DEFAULT_FABRIC_ID = 0


@frozen(kw_only=True)
class Vlan:
    """`vid` is the tag of its frames, 0 for none. `dhcp`: some network of a host there hands out addresses."""

    id: int
    vid: int
    name: str
    mtu: int
    fabric_id: int
    fabric_name: str
    space_id: int | None = None
    space_name: str | None = None
    description: str = ""
    dhcp: bool = False


@frozen(kw_only=True)
class Subnet:
    id: int
    name: str
    cidr: Network
    vlan: Vlan
    gateway_ip: Address | None = None
    dns_servers: tuple[Address, ...] = ()
    description: str = ""
    managed: bool = True
    allow_dns: bool = True
    allow_proxy: bool = True
    active_discovery: bool = False
    rdns_mode: int = 2


@frozen(kw_only=True)
class Fabric:
    id: int
    name: str
    class_type: str | None
    description: str
    vlans: tuple[Vlan, ...] = ()


@frozen(kw_only=True)
class Space:
    id: int
    name: str
    description: str
    vlans: tuple[Vlan, ...] = ()
    subnets: tuple[Subnet, ...] = ()


@frozen(kw_only=True)
class IpRange:
    """Addresses that no machine is given. `learned`: it was seen at a host and follows what is seen there."""

    id: int
    subnet: Subnet
    type: str
    start_ip: Address
    end_ip: Address
    comment: str = ""
    learned: bool = False


@frozen(kw_only=True)
class InterfaceLink:
    """That an interface of a host is in a subnet; `address` is the host's own there, if it has one."""

    subnet: Subnet
    address: Address | None = None


@frozen(kw_only=True)
class HostInterface:
    """`vlan_chosen`: a person said which VLAN it is on, so what is learned changes nothing of that."""

    id: int
    host_id: int
    host_system_id: str
    name: str
    kind: str
    type: str
    mac_address: str | None = None
    parent: str | None = None
    vid: int | None = None
    attachable: bool = True
    active: bool = True
    dhcp: bool = False
    link_speed_mbps: int | None = None
    virtual_functions: int = 0
    tags: tuple[str, ...] = ()
    vlan: Vlan | None = None
    vlan_chosen: bool = False
    links: tuple[InterfaceLink, ...] = ()
    missing_since: datetime | None = None


@frozen(kw_only=True)
class VlanChange:
    """None keeps what is there. `space` is an id or a name, `""` takes it out of its space; so is `fabric`."""

    name: str | None = None
    vid: int | None = None
    mtu: int | None = None
    space: str | None = None
    fabric: str | None = None
    description: str | None = None


@frozen(kw_only=True)
class SubnetChange:
    """None keeps what is there; `gateway_ip` `""` means none. `vlan` is an id; `fabric` and `vid` say the same."""

    name: str | None = None
    cidr: str | None = None
    vlan: str | None = None
    fabric: str | None = None
    vid: int | None = None
    space: str | None = None
    gateway_ip: str | None = None
    dns_servers: tuple[str, ...] | None = None
    description: str | None = None
    managed: bool | None = None
    allow_dns: bool | None = None
    allow_proxy: bool | None = None
    active_discovery: bool | None = None
    rdns_mode: int | None = None


@frozen(kw_only=True)
class RangeChange:
    """None keeps what is there."""

    start_ip: str | None = None
    end_ip: str | None = None
    comment: str | None = None


@frozen(kw_only=True)
class UsedAddress:
    """An address that somebody has: `machine` (system id) when it is claimed, `host` when it is a host's own."""

    address: Address
    machine: str | None = None
    host: str | None = None
