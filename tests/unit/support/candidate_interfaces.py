"""Candidate interfaces and hosts for tests of NIC attachment."""

from __future__ import annotations

from attrs import evolve

from common.values import NicKind
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateSubnet
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.nic_attachment import attach_nics
from tests.unit.support.candidates import HOST

LAN = CandidateSubnet(id=1, name="lan-v4", cidr="10.1.0.0/24")
LAN6 = CandidateSubnet(id=2, name="lan-v6", cidr="fd00:1::/64")
DMZ = CandidateSubnet(id=3, name="dmz-v4", cidr="10.2.0.0/24")

BRIDGE = CandidateInterface(
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
PHYSICAL = CandidateInterface(
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
PORT = evolve(PHYSICAL, id=13, name="sim1", functions_total=8, functions_free=2, function_port="sim1", vid=0)
VLAN = evolve(PORT, id=14, name="sim1.100", type="vlan", vid=100)
UNCONNECTED = CandidateInterface(id=15, name="ens9", kind=NicKind.MACVLAN, type="physical")

ALL = (BRIDGE, BOND, PHYSICAL)


def host(*interfaces: CandidateInterface, driver: str = "lxd", macvlan_mode: str | None = None) -> Candidate:
    return evolve(HOST, name="host-1", driver=driver, default_macvlan_mode=macvlan_mode, interfaces=interfaces)


def rejection(text: str, *interfaces: CandidateInterface) -> str:
    attachments, reason = attach_nics(parse_interfaces(text), host(*interfaces))
    assert attachments == ()
    assert reason is not None
    return reason
