"""JSON of fabrics, VLANs, subnets, spaces, IP ranges and interfaces, nested and always complete."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, field, frozen

from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    INT,
    NULL,
    NUMBER,
    OBJECT,
    STR,
    TIMESTAMP,
    Serializer,
    array,
    constant,
    extended,
    key,
    nullable,
    optional_key,
    serializer,
)
from regiond.api.urls import uri
from regiond.networks.model import Address, Fabric, HostInterface, IpRange, Space, Subnet, UsedAddress, Vlan
from regiond.networks.service import AddressSpan, usable_addresses
from regiond.placement.model import NO_SPACE

DEFAULT_MTU = 1500
NO_SPACE_ID = -1
_STICKY, _DISCOVERED = (1, "Sticky"), (6, "Discovered")

# `dhcp_on` is MAAS's own DHCP, which Innkeeper does not have; `dhcp`: a hypervisor's network there has a DHCP server.
VLAN_JSON: Serializer[Vlan] = serializer(
    "Vlan",
    key("id", INT, lambda vlan: vlan.id),
    key("vid", INT, lambda vlan: vlan.vid),
    key("name", STR, lambda vlan: vlan.name),
    key("description", STR, lambda vlan: vlan.description),
    key("mtu", INT, lambda vlan: vlan.mtu),
    key("fabric", STR, lambda vlan: vlan.fabric_name),
    key("fabric_id", INT, lambda vlan: vlan.fabric_id),
    key("space", STR, lambda vlan: vlan.space_name or NO_SPACE),
    constant("dhcp_on", BOOL, value=False),
    key("dhcp", BOOL, lambda vlan: vlan.dhcp),
    constant("primary_rack", NULL, None),
    constant("secondary_rack", NULL, None),
    constant("external_dhcp", NULL, None),
    constant("relay_vlan", NULL, None),
    key("resource_uri", STR, lambda vlan: uri("vlans", vlan.id)),
)
SUBNET_JSON: Serializer[Subnet] = serializer(
    "Subnet",
    key("id", INT, lambda subnet: subnet.id),
    key("name", STR, lambda subnet: subnet.name),
    key("cidr", AS_TEXT, lambda subnet: subnet.cidr),
    key("description", STR, lambda subnet: subnet.description),
    key("vlan", VLAN_JSON, lambda subnet: subnet.vlan),
    key("space", STR, lambda subnet: subnet.vlan.space_name or NO_SPACE),
    key("gateway_ip", nullable(AS_TEXT), lambda subnet: subnet.gateway_ip),
    key("dns_servers", array(AS_TEXT), lambda subnet: subnet.dns_servers),
    key("managed", BOOL, lambda subnet: subnet.managed),
    key("allow_dns", BOOL, lambda subnet: subnet.allow_dns),
    key("allow_proxy", BOOL, lambda subnet: subnet.allow_proxy),
    key("active_discovery", BOOL, lambda subnet: subnet.active_discovery),
    key("rdns_mode", INT, lambda subnet: subnet.rdns_mode),
    constant("disabled_boot_architectures", array(STR), ()),
    key("resource_uri", STR, lambda subnet: uri("subnets", subnet.id)),
)
FABRIC_JSON: Serializer[Fabric] = serializer(
    "Fabric",
    key("id", INT, lambda fabric: fabric.id),
    key("name", STR, lambda fabric: fabric.name),
    key("class_type", nullable(STR), lambda fabric: fabric.class_type or None),
    key("description", STR, lambda fabric: fabric.description),
    key("vlans", array(VLAN_JSON), lambda fabric: fabric.vlans),
    key("resource_uri", STR, lambda fabric: uri("fabrics", fabric.id)),
)
SPACE_JSON: Serializer[Space] = serializer(
    "Space",
    key("id", INT, lambda space: space.id),
    key("name", STR, lambda space: space.name),
    key("description", STR, lambda space: space.description),
    key("vlans", array(VLAN_JSON), lambda space: space.vlans),
    key("subnets", array(SUBNET_JSON), lambda space: space.subnets),
    key("resource_uri", STR, lambda space: uri("spaces", NO_SPACE if space.id == NO_SPACE_ID else space.id)),
)
IP_RANGE_JSON: Serializer[IpRange] = serializer(
    "IPRange",
    key("id", INT, lambda one: one.id),
    key("type", STR, lambda one: one.type),
    key("start_ip", AS_TEXT, lambda one: one.start_ip),
    key("end_ip", AS_TEXT, lambda one: one.end_ip),
    key("comment", STR, lambda one: one.comment),
    key("subnet", SUBNET_JSON, lambda one: one.subnet),
    constant("user", NULL, None),
    key("discovered", BOOL, lambda one: one.discovered),
    key("resource_uri", STR, lambda one: uri("ipranges", one.id)),
)
_UNUSED = "unused"  # MAAS's purpose of unreserved addresses
UNRESERVED_SPAN_JSON: Serializer[AddressSpan] = serializer(
    "UnreservedAddresses",
    key("start", AS_TEXT, lambda span: span.start),
    key("end", AS_TEXT, lambda span: span.end),
    key("num_addresses", INT, lambda span: span.count),
)
RESERVED_SPAN_JSON: Serializer[AddressSpan] = extended(
    "ReservedAddresses",
    UNRESERVED_SPAN_JSON,
    lambda span: span,
    key("purpose", array(STR), lambda span: span.purposes),
)


@frozen(kw_only=True)
class SubnetStatistics:
    """Counts of a subnet's addresses; `unreserved` are the spans that nothing uses."""

    subnet: Subnet
    unreserved: Sequence[AddressSpan]
    reserved: Sequence[AddressSpan] | None = None  # None: they were not asked for

    @property
    def usable(self) -> AddressSpan:
        return usable_addresses(self.subnet)

    @property
    def available(self) -> int:
        return sum(span.count for span in self.unreserved)

    @property
    def unavailable(self) -> int:
        return self.usable.count - self.available

    @property
    def ranges(self) -> Sequence[AddressSpan] | None:
        """All spans in order, if the reserved ones are known."""
        if self.reserved is None:
            return None
        unused = (evolve(span, purposes=(_UNUSED,)) for span in self.unreserved)
        return sorted([*self.reserved, *unused], key=lambda span: int(span.start))

    @property
    def usage(self) -> float:
        return self.unavailable / self.usable.count


STATISTICS_JSON: Serializer[SubnetStatistics] = serializer(
    "SubnetStatistics",
    key("num_available", INT, lambda statistics: statistics.available),
    key("largest_available", INT, lambda statistics: max((span.count for span in statistics.unreserved), default=0)),
    key("num_unavailable", INT, lambda statistics: statistics.unavailable),
    key("total_addresses", INT, lambda statistics: statistics.usable.count),
    key("usage", NUMBER, lambda statistics: statistics.usage),
    key("usage_string", STR, lambda statistics: f"{statistics.usage:.0%}"),
    key("available_string", STR, lambda statistics: f"{1 - statistics.usage:.0%}"),
    key("first_address", AS_TEXT, lambda statistics: statistics.usable.start),
    key("last_address", AS_TEXT, lambda statistics: statistics.usable.end),
    key("ip_version", INT, lambda statistics: statistics.subnet.cidr.version),
    optional_key("ranges", array(RESERVED_SPAN_JSON), lambda statistics: statistics.ranges),
)


def _allocation_type(used: UsedAddress) -> tuple[int, str]:
    return _STICKY if (used.machine or used.device) and not used.seen else _DISCOVERED


USED_ADDRESS_JSON: Serializer[UsedAddress] = serializer(
    "UsedAddress",
    key("ip", AS_TEXT, lambda used: used.address),
    key("alloc_type", INT, lambda used: _allocation_type(used)[0]),
    key("alloc_type_name", STR, lambda used: _allocation_type(used)[1]),
    key("system_id", nullable(STR), lambda used: used.machine or used.device),
    key("host", nullable(STR), lambda used: used.host),
    key("hostname", nullable(STR), lambda used: used.hostname),  # MAAS lacks both names here
    key("host_name", nullable(STR), lambda used: used.host_name),
)


@frozen(kw_only=True)
class Link:
    """How an interface gets its address in a subnet. Unknown parts are None and are left out of the response."""

    id: int
    mode: str
    subnet: Subnet | None = None
    address: Address | str | None = None


@frozen(kw_only=True)
class Interface:
    """What a machine's NIC and a host's interface have in common. `speed_mbps` is 0 if unknown."""

    id: int
    system_id: str
    name: str
    type: str
    enabled: bool
    tags: Sequence[str] = ()
    vlan: Vlan | None
    links: Sequence[Link]
    mac_address: str | None
    parents: Sequence[str] = ()
    children: Sequence[str] = ()
    connected: bool
    speed_mbps: int = 0
    virtual_functions: int = 0


@frozen(kw_only=True)
class InterfaceOfHost:
    """A host's interface among all interfaces of that host."""

    interface: HostInterface
    all_of_host: Sequence[HostInterface] = field(factory=tuple)

    def as_interface(self) -> Interface:
        one = self.interface
        return Interface(
            id=one.id,
            system_id=one.host_system_id,
            name=one.name,
            type=one.type,
            enabled=one.active,
            tags=one.tags,
            vlan=one.vlan,
            links=[
                Link(
                    id=link.subnet.id,
                    mode="link_up" if link.address is None else "static",
                    subnet=link.subnet,
                    address=link.address,
                )
                for link in one.links
            ],
            mac_address=one.mac_address,
            parents=[one.parent] if one.parent else [],
            children=[other.name for other in self.all_of_host if other.parent == one.name],
            connected=one.active,
            speed_mbps=one.link_speed_mbps or 0,
            virtual_functions=one.virtual_functions,
        )


_LINK: Serializer[Link] = serializer(
    "InterfaceLink",
    key("id", INT, lambda link: link.id),
    key("mode", STR, lambda link: link.mode),
    optional_key("subnet", SUBNET_JSON, lambda link: link.subnet),
    optional_key("ip_address", AS_TEXT, lambda link: link.address),
)
INTERFACE_JSON: Serializer[Interface] = serializer(
    "Interface",
    key("resource_uri", STR, lambda one: uri("nodes", one.system_id, "interfaces", one.id)),
    key("id", INT, lambda one: one.id),
    key("name", STR, lambda one: one.name),
    key("type", STR, lambda one: one.type),
    key("enabled", BOOL, lambda one: one.enabled),
    key("tags", array(STR), lambda one: one.tags),
    key("vlan", nullable(VLAN_JSON), lambda one: one.vlan),
    key("links", array(_LINK), lambda one: one.links),
    key("mac_address", nullable(STR), lambda one: one.mac_address),
    key("effective_mtu", INT, lambda one: DEFAULT_MTU if one.vlan is None else one.vlan.mtu),
    key("parents", array(STR), lambda one: one.parents),
    key("children", array(STR), lambda one: one.children),
    key("system_id", STR, lambda one: one.system_id),
    constant("discovered", array(OBJECT), ()),
    constant("params", STR, ""),
    key("link_connected", BOOL, lambda one: one.connected),
    key("interface_speed", INT, lambda one: one.speed_mbps),
    key("link_speed", INT, lambda one: one.speed_mbps),
    constant("numa_node", nullable(INT), None),
    key("sriov_max_vf", INT, lambda one: one.virtual_functions),
    constant("vendor", nullable(STR), None),
    constant("product", nullable(STR), None),
    constant("firmware_version", nullable(STR), None),
)
HOST_INTERFACE_JSON: Serializer[InterfaceOfHost] = extended(
    "HostInterface",
    INTERFACE_JSON,
    InterfaceOfHost.as_interface,
    key("attach_type", STR, lambda found: found.interface.kind),
    key("attachable", BOOL, lambda found: found.interface.attachable),
    key("dhcp", BOOL, lambda found: found.interface.dhcp),
    key("vid", nullable(INT), lambda found: found.interface.vid),
    key("vlan_set_by_user", BOOL, lambda found: found.interface.vlan_set_by_user),
    key("missing_since", nullable(TIMESTAMP), lambda found: found.interface.missing_since),
)
