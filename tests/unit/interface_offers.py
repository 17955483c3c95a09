"""Interfaces that a host offers, and hosts that offer them, for tests of where cards go."""

from __future__ import annotations

from attrs import evolve

from common.values import NicKind
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.interfaces import attach
from regiond.placement.model import HostOffer, InterfaceOffer, SubnetOffer

LAN = SubnetOffer(id=1, name="lan-v4", cidr="10.1.0.0/24")
LAN6 = SubnetOffer(id=2, name="lan-v6", cidr="fd00:1::/64")
DMZ = SubnetOffer(id=3, name="dmz-v4", cidr="10.2.0.0/24")

BRIDGE = InterfaceOffer(
    id=10,
    name="br0",
    kind=NicKind.BRIDGE,
    type="bridge",
    vid=0,
    vlan_id=5001,
    vlan_name="untagged",
    fabric_id=0,
    fabric_name="fabric-0",
    space_id=7,
    space_name="lan",
    subnets=(LAN, LAN6),
    tags=("fast", "west"),
    link_speed_mbps=1000,
)
BOND = evolve(BRIDGE, id=11, name="bond0", kind=NicKind.MACVLAN, type="bond", subnets=(LAN,), tags=("fast",))
CARD = InterfaceOffer(
    id=12,
    name="ens1",
    kind=NicKind.MACVLAN,
    type="physical",
    vid=100,
    vlan_id=5002,
    vlan_name="dmz-vlan",
    fabric_id=4,
    fabric_name="fabric-4",
    fabric_class="10g",
    space_id=8,
    space_name="dmz",
    subnets=(DMZ,),
    link_speed_mbps=10000,
)
PORT = evolve(CARD, id=13, name="sim1", functions_total=8, functions_free=2, function_port="sim1", vid=0)
VLAN = evolve(PORT, id=14, name="sim1.100", type="vlan", vid=100)
NOWHERE = InterfaceOffer(id=15, name="ens9", kind=NicKind.MACVLAN, type="physical")

ALL = (BRIDGE, BOND, CARD)


def host(*interfaces: InterfaceOffer, driver: str = "lxd", macvlan_mode: str | None = None) -> HostOffer:
    return HostOffer(
        id=1,
        name="inn",
        state="ready",
        reachable=True,
        architecture="amd64",
        cores=4,
        memory_mib=4096,
        driver=driver,
        default_macvlan_mode=macvlan_mode,
        interfaces=interfaces,
    )


def refused(text: str, *interfaces: InterfaceOffer) -> str:
    places, reason = attach(parse_interfaces(text), host(*interfaces))
    assert places == ()
    assert reason is not None
    return reason
