"""One object of each kind of network, as the service returns it."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

from regiond.dns.model import DnsName, Domain
from regiond.networks.model import Fabric, HostInterface, InterfaceLink, IpRange, Space, Subnet, Vlan

UNTAGGED = Vlan(id=5001, vid=0, name="untagged", mtu=1500, fabric_id=0, fabric_name="fabric-0")
VLAN = Vlan(
    id=5002,
    vid=100,
    name="dmz",
    mtu=9000,
    fabric_id=0,
    fabric_name="fabric-0",
    space_id=2,
    space_name="front",
    dhcp=True,
)
SUBNET = Subnet(
    id=3,
    name="dmz",
    cidr=ip_network("10.1.0.0/24"),
    vlan=VLAN,
    gateway_ip=ip_address("10.1.0.1"),
    dns_servers=(ip_address("10.1.0.2"), ip_address("9.9.9.9")),
)
IPV6_SUBNET = Subnet(id=4, name="2001:db8::/64", cidr=ip_network("2001:db8::/64"), vlan=UNTAGGED)
DOMAIN = Domain(id=0, name="maas", record_count=1)
DNS_NAME = DnsName(id=5, name="www", domain_id=0, domain="maas", addresses=(ip_address("10.1.0.8"),))
FABRIC = Fabric(id=0, name="fabric-0", class_type=None, description="", vlans=(UNTAGGED, VLAN))
SPACE = Space(id=2, name="front", description="", vlans=(VLAN,), subnets=(SUBNET,))
IP_RANGE = IpRange(
    id=6, subnet=SUBNET, type="reserved", start_ip=ip_address("10.1.0.10"), end_ip=ip_address("10.1.0.20")
)
INTERFACES = (
    HostInterface(
        id=41,
        host_id=4,
        host_system_id="k3xq7a",
        name="br-dmz",
        kind="bridge",
        type="bridge",
        mac_address="52:54:00:00:01:00",
        parent="eth1",
        vid=100,
        dhcp=True,
        tags=("fast",),
        vlan=VLAN,
        links=(InterfaceLink(subnet=SUBNET, address=ip_address("10.1.0.1")),),
    ),
    HostInterface(
        id=42,
        host_id=4,
        host_system_id="k3xq7a",
        name="eth1",
        kind="macvlan",
        type="physical",
        active=False,
        attachable=False,
        link_speed_mbps=10000,
        virtual_functions=8,
        vlan=UNTAGGED,
        vlan_set_by_user=True,
        links=(InterfaceLink(subnet=IPV6_SUBNET),),
        missing_since=datetime(2026, 11, 20, 8, 30, tzinfo=UTC),
    ),
)
