"""JSON of networks, interfaces and DNS names, nested and always complete."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, field, frozen

from regiond.api.declaration.serializer import (
    AS_TEXT,
    BOOL,
    INT,
    NULL,
    OBJECT,
    STR,
    Serializer,
    array,
    constant,
    extended,
    fields_of,
    key,
    nullable,
    optional_key,
    serializer,
    uri_by_id,
)
from regiond.api.urls import uri
from regiond.dns.model import DnsName, Domain
from regiond.networks.ipam.usage import AddressSpan, usable_addresses
from regiond.networks.model import Address, Fabric, HostInterface, IpRange, Space, Subnet, UsedAddress, Vlan
from regiond.placement.requirements import NO_SPACE

DEFAULT_MTU = 1500
NO_SPACE_ID = -1
_STICKY, _DISCOVERED = (1, "Sticky"), (6, "Discovered")

# `dhcp_on` is MAAS's own DHCP, which Innkeeper lacks. `dhcp`: a hypervisor's network in the VLAN has a DHCP server.
VLAN_JSON: Serializer[Vlan] = serializer(
    "Vlan",
    *fields_of(Vlan, "id vid name description mtu fabric=fabric_name fabric_id"),
    key("space", STR, lambda vlan: vlan.space_name or NO_SPACE),
    constant("dhcp_on", BOOL, value=False),
    key("dhcp", BOOL, lambda vlan: vlan.dhcp),
    constant("primary_rack", NULL, None),
    constant("secondary_rack", NULL, None),
    constant("external_dhcp", NULL, None),
    constant("relay_vlan", NULL, None),
    uri_by_id("vlans"),
)
SUBNET_JSON: Serializer[Subnet] = serializer(
    "Subnet",
    *fields_of(Subnet, "id name cidr description vlan", vlan=VLAN_JSON),
    key("space", STR, lambda subnet: subnet.vlan.space_name or NO_SPACE),
    *fields_of(Subnet, "gateway_ip dns_servers managed allow_dns allow_proxy active_discovery rdns_mode"),
    constant("disabled_boot_architectures", array(STR), ()),
    uri_by_id("subnets"),
)
FABRIC_JSON: Serializer[Fabric] = serializer(
    "Fabric",
    *fields_of(Fabric, "id name"),
    key("class_type", nullable(STR), lambda fabric: fabric.class_type or None),
    *fields_of(Fabric, "description vlans", vlans=VLAN_JSON),
    uri_by_id("fabrics"),
)
SPACE_JSON: Serializer[Space] = serializer(
    "Space",
    *fields_of(Space, "id name description vlans subnets", vlans=VLAN_JSON, subnets=SUBNET_JSON),
    key("resource_uri", STR, lambda space: uri("spaces", NO_SPACE if space.id == NO_SPACE_ID else space.id)),
)
IP_RANGE_JSON: Serializer[IpRange] = serializer(
    "IPRange",
    *fields_of(IpRange, "id type start_ip end_ip comment subnet", subnet=SUBNET_JSON),
    constant("user", NULL, None),
    key("discovered", BOOL, lambda one: one.discovered),
    uri_by_id("ipranges"),
)
_UNUSED = "unused"  # MAAS's purpose of unreserved addresses
UNRESERVED_SPAN_JSON: Serializer[AddressSpan] = serializer(
    "UnreservedAddresses", *fields_of(AddressSpan, "start end num_addresses=count")
)
RESERVED_SPAN_JSON: Serializer[AddressSpan] = extended(
    "ReservedAddresses",
    UNRESERVED_SPAN_JSON,
    lambda span: span,
    key("purpose", array(STR), lambda span: span.purposes),
)


@frozen(kw_only=True)
class SubnetStatistics:
    """Counts of a subnet's addresses; `unreserved` are the unused spans."""

    subnet: Subnet
    unreserved: Sequence[AddressSpan]
    reserved: Sequence[AddressSpan] | None = None  # None: not requested

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
        """Returns all spans in order; None if the reserved ones were not requested."""
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
    *fields_of(SubnetStatistics, "num_unavailable=unavailable total_addresses=usable.count usage"),
    key("usage_string", STR, lambda statistics: f"{statistics.usage:.0%}"),
    key("available_string", STR, lambda statistics: f"{1 - statistics.usage:.0%}"),
    *fields_of(SubnetStatistics, "first_address=usable.start last_address=usable.end"),
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
    """The way in which an interface gets its address in a subnet. Unknown parts are None; the response omits them."""

    id: int
    mode: str
    subnet: Subnet | None = None
    address: Address | str | None = None


@frozen(kw_only=True)
class Interface:
    """The values common to a machine's NIC and a host's interface. `speed_mbps` is 0 if unknown."""

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
    """A host's interface, with all interfaces of that host."""

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
    *fields_of(Link, "id mode"),
    optional_key("subnet", SUBNET_JSON, lambda link: link.subnet),
    optional_key("ip_address", AS_TEXT, lambda link: link.address),
)
INTERFACE_JSON: Serializer[Interface] = serializer(
    "Interface",
    key("resource_uri", STR, lambda one: uri("nodes", one.system_id, "interfaces", one.id)),
    *fields_of(Interface, "id name type enabled tags vlan links mac_address", vlan=VLAN_JSON, links=_LINK),
    key("effective_mtu", INT, lambda one: DEFAULT_MTU if one.vlan is None else one.vlan.mtu),
    *fields_of(Interface, "parents children system_id"),
    constant("discovered", array(OBJECT), ()),
    constant("params", STR, ""),
    *fields_of(Interface, "link_connected=connected interface_speed=speed_mbps link_speed=speed_mbps"),
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
    *fields_of(
        InterfaceOfHost,
        "attach_type=interface.kind interface.attachable interface.dhcp interface.vid interface.vlan_set_by_user",
        "interface.missing_since",
    ),
)
DOMAIN_WITH_RECORDS_JSON: Serializer[Domain] = serializer(
    "DomainWithRecords",
    *fields_of(Domain, "id name authoritative ttl=ttl_s is_default resource_record_count=record_count"),
    uri_by_id("domains"),
)
_DNS_ADDRESS_JSON: Serializer[Address] = serializer("DnsAddress", key("ip", STR, str))
DNS_RESOURCE_JSON: Serializer[DnsName] = serializer(
    "DnsResource",
    *fields_of(DnsName, "id fqdn address_ttl=ttl_s ip_addresses=addresses", ip_addresses=_DNS_ADDRESS_JSON),
    constant("resource_records", array(STR), []),
    uri_by_id("dnsresources"),
)
