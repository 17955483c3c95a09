"""Which interfaces satisfy the conditions of a NIC: every key, and the reasons for a mismatch."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.values import NicKind
from regiond.placement.candidate import CandidateInterface
from regiond.placement.interface_parser import parse_interfaces
from regiond.placement.nic_attachment import attach_nics
from tests.unit.support.candidate_interfaces import ALL, BOND, BRIDGE, DMZ, PHYSICAL, UNCONNECTED, host, rejection


def chosen(text: str, *interfaces: CandidateInterface) -> list[str]:
    attachments, reason = attach_nics(parse_interfaces(text), host(*interfaces))
    assert reason is None, reason
    return [next(one.name for one in interfaces if one.id == attachment.interface_id) for attachment in attachments]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a:id=10", "br0"),
        ("a:not_id=10", "bond0"),
        ("a:name=bond0", "bond0"),
        ("a:name=bond0,name=br0", "br0"),
        ("a:name=bond0,not_name=br0", "bond0"),
        ("a:hostname=host-1", "br0"),
        ("a:type=physical", "ens1"),
        ("a:not_type=bridge,not_type=bond", "ens1"),
        ("a:fabric_class=10g", "ens1"),
        ("a:not_fabric_class=10g", "br0"),
        ("a:fabric=fabric-4", "ens1"),
        ("a:fabric=4", "ens1"),
        ("a:fabric=name:fabric-4", "ens1"),
        ("a:fabric=class:10g", "ens1"),
        ("a:vlan=100", "ens1"),
        ("a:vlan=untagged", "br0"),
        ("a:vlan=0", "br0"),
        ("a:vlan=dmz-vlan", "ens1"),
        ("a:vlan=id:5002", "ens1"),
        ("a:vlan=vid:100", "ens1"),
        ("a:vlan=name:dmz-vlan", "ens1"),
        ("a:vlan=fabric:fabric-4", "ens1"),
        ("a:vlan=space:dmz", "ens1"),
        ("a:vlan=subnet:10.2.0.0/24", "ens1"),
        ("a:vid=100", "ens1"),
        ("a:vid=untagged", "br0"),
        ("a:not_vid=0", "ens1"),
        ("a:subnet=3", "ens1"),
        ("a:subnet=10.2.0.0/24", "ens1"),
        ("a:subnet=dmz-v4", "ens1"),
        ("a:subnet=id:3", "ens1"),
        ("a:subnet=cidr:10.2.0.0/24", "ens1"),
        ("a:subnet=ip:10.2.0.77", "ens1"),
        ("a:subnet=name:dmz-v4", "ens1"),
        ("a:subnet=space:dmz", "ens1"),
        ("a:subnet=vid:100", "ens1"),
        ("a:subnet=vlan:dmz-vlan", "ens1"),
        ("a:subnet=fabric:4", "ens1"),
        ("a:subnet=fd00:1:0::/64", "br0"),
        ("a:not_subnet=fd00:1::/64", "bond0"),
        ("a:subnet_cidr=10.2.0.0/24", "ens1"),
        ("a:subnet_cidr=10.2.0.0/24,subnet_cidr=10.1.0.0/24", "br0"),
        ("a:not_subnet_cidr=10.1.0.0/24", "ens1"),
        ("a:space=dmz", "ens1"),
        ("a:space=8", "ens1"),
        ("a:space=dmz,space=lan", "br0"),
        ("a:not_space=lan", "ens1"),
        ("a:tag=fast", "br0"),
        ("a:tag=fast&&west", "br0"),
        ("a:tag=fast,not_tag=west", "bond0"),
        ("a:not_tag=fast", "ens1"),
        ("a:link_speed=2500", "ens1"),
        ("a:link_speed=1000", "br0"),
        ("a:mode=unconfigured", "br0"),
        ("a:space=lan;b:space=lan;c:space=dmz", "br0 br0 ens1"),
    ],
)
def test_each_key_selects_its_interfaces(text: str, names: str) -> None:
    assert chosen(text, *ALL) == names.split()


def test_bridges_precede_bonds_precede_others_newest_first() -> None:
    newer = evolve(BRIDGE, id=8, name="br1"), evolve(BOND, id=9, name="bond1"), evolve(PHYSICAL, id=99, name="ens2")
    assert chosen("a:mode=unconfigured", *newer, *ALL) == ["br0"]
    assert chosen("a:not_type=bridge", *newer, *ALL) == ["bond0"]
    assert chosen("a:type=physical", *newer, *ALL) == ["ens2"]


def test_a_managed_network_is_preferred_to_a_plain_interface() -> None:
    network = evolve(PHYSICAL, id=2, name="lxdbr0", kind=NicKind.NETWORK, type="bridge")
    assert chosen("a:space=dmz", network, PHYSICAL) == ["lxdbr0"]


def test_inactive_and_unattachable_interfaces_are_never_chosen() -> None:
    hidden = evolve(BRIDGE, id=20, active=False), evolve(BRIDGE, id=21, attachable=False)
    assert chosen("a:mode=unconfigured", *hidden, PHYSICAL) == ["ens1"]
    assert "none of the host's 2 interfaces is active and attachable" in rejection("a:id=20", *hidden)


def test_undefined_is_the_space_of_vlans_without_one() -> None:
    bare = evolve(PHYSICAL, space_id=None, space_name=None)
    assert chosen("a:space=undefined", BRIDGE, bare) == ["ens1"]
    assert chosen("a:not_space=undefined", BRIDGE, bare) == ["br0"]


@pytest.mark.parametrize(
    ("text", "wanted", "present"),
    [
        ("eth0:space=wan", "space wan", "the host's 4 interfaces are in dmz, lan, undefined"),
        ("a:vid=7", "vid 7", "the host's 4 interfaces are in VID 0 (untagged), VID 100 (dmz-vlan)"),
        ("a:fabric=9,fabric=8", "fabric 9 or 8", "the host's 4 interfaces are in fabric-0, fabric-4"),
        ("a:tag=slow", "tag slow", "the host's 4 interfaces are tagged fast, tagged west, without tags"),
        (
            "a:link_speed=40000",
            "link speed of at least 40000 Mb/s",
            "the host's 4 interfaces are of 1000 Mb/s, 10000 Mb/s, unknown speed",
        ),
        (
            "a:space=lan,type=physical",
            "space lan and type physical",
            "of the host's 4 interfaces 2 have space lan and are bond, bridge",
        ),
        ("a:hostname=other", "hostname other", "the host's 4 interfaces are those of host-1"),
        (
            "a:subnet=10.9.0.0/24",
            "subnet 10.9.0.0/24",
            "the host's 4 interfaces are in 10.1.0.0/24, 10.2.0.0/24, fd00:1::/64, no known subnet",
        ),
    ],
)
def test_a_mismatch_names_the_condition_and_what_the_host_has(text: str, wanted: str, present: str) -> None:
    fourth = evolve(UNCONNECTED, vid=100, vlan_name="dmz-vlan", fabric_name="fabric-4")
    label = text.partition(":")[0]
    assert rejection(text, *ALL, fourth) == f"NIC {label} needs an interface with {wanted}: {present}"


def test_a_host_without_interfaces_is_rejected() -> None:
    assert rejection("a:space=lan") == "NIC a needs an interface with space lan: the host has no interface"


def test_subnet_conditions_of_an_address_apply_to_one_subnet() -> None:
    (nic,) = parse_interfaces("a:subnet=lan-v6,ip=10.1.0.5")
    (other,) = parse_interfaces("a:subnet_cidr=10.1.0.0/24")
    attachments, reason = attach_nics((evolve(nic, conditions=nic.conditions + other.conditions),), host(BRIDGE))
    assert attachments == ()
    assert reason is not None
    assert reason.startswith("NIC a needs an interface with ip 10.1.0.5 and subnet lan-v6")
    assert reason.endswith("not in a single subnet with subnet lan-v6 and subnet cidr 10.1.0.0/24")


def test_an_excluded_subnet_does_not_affect_other_interfaces() -> None:
    attachments, reason = attach_nics(parse_interfaces("a:not_subnet=lan-v6,ip=10.2.0.5"), host(PHYSICAL))
    assert ([one.subnet_id for one in attachments], reason) == ([DMZ.id], None)
