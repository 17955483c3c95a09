"""Fabrics, VLANs, subnets, spaces, ranges, interfaces, and the changes a user may request."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from attrs import frozen

from regiond.requests.deletion_plan import AffectedRecord

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

DEFAULT_FABRIC_ID = 0
DOMAIN_NAME = "maas"  # of all machines; the name that clients expect of the default domain


@frozen(kw_only=True)
class Vlan:
    """`vid` is the tag of its frames, 0 for none. `dhcp`: a host's network on it runs a DHCP server."""

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

    @property
    def described(self) -> str:
        """The text for messages, such as `VLAN untagged (id 1) of fabric-0`."""
        return f"VLAN {self.name or self.vid} (id {self.id}) of {self.fabric_name}"


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
    """Addresses that no machine can claim. `discovered`: reported by hosts; discovery changes and removes it."""

    id: int
    subnet: Subnet
    type: str
    start_ip: Address
    end_ip: Address
    comment: str = ""
    discovered: bool = False

    def contains(self, address: Address) -> bool:
        """`address` is of the subnet."""
        return int(self.start_ip) <= int(address) <= int(self.end_ip)

    @property
    def described(self) -> str:
        """The text for messages, such as `reserved range 10.1.0.2-10.1.0.9 (printers)`."""
        comment = f" ({self.comment})" if self.comment else ""
        return f"{self.type} range {self.start_ip}-{self.end_ip}{comment}"

    @property
    def as_record(self) -> AffectedRecord:
        """The range in deletion plans."""
        comment = f", {self.comment}" if self.comment else ""
        name = f"{self.start_ip}-{self.end_ip} ({self.type}{comment}) of {self.subnet.cidr}"
        return AffectedRecord(kind="IP range", id=str(self.id), name=name)


@frozen(kw_only=True)
class InterfaceLink:
    """An interface of a host is in a subnet; `address` is the host's own there, if it has one."""

    subnet: Subnet
    address: Address | None = None


@frozen(kw_only=True)
class HostInterface:
    """`vlan_set_by_user`: a user set the VLAN, so discovery does not change it."""

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
    vlan_set_by_user: bool = False
    links: tuple[InterfaceLink, ...] = ()
    missing_since: datetime | None = None


@frozen(kw_only=True)
class VlanChange:
    """None: unchanged. `space` and `fabric` are ids or names; a `space` of `""` removes the VLAN from its space."""

    name: str | None = None
    vid: int | None = None
    mtu: int | None = None
    space: str | None = None
    fabric: str | None = None
    description: str | None = None


@frozen(kw_only=True)
class SubnetChange:
    """None: unchanged; a `gateway_ip` of `""` removes it. The VLAN is given by its id, or by `fabric` and `vid`."""

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
    """None: unchanged."""

    start_ip: str | None = None
    end_ip: str | None = None
    comment: str | None = None


@frozen(kw_only=True)
class SeenAddress:
    """An address that a guest has by DHCP or by its own configuration, first reported at `seen_at`.

    `subnet` is the smallest that contains it; None if no known subnet does.
    """

    id: int
    address: Address
    subnet: Subnet | None
    seen_at: datetime


@frozen(kw_only=True)
class UsedAddress:
    """An address in use by a machine, by a host, or by a device that is on no machine: the system id and the name.

    None of them: of one that the caller may not see. With `seen` a machine's guest has it without a claim.
    """

    address: Address
    machine: str | None = None
    hostname: str | None = None
    host: str | None = None
    host_name: str | None = None
    device: str | None = None  # its name is `hostname`
    seen: bool = False
