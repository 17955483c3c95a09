"""Which interfaces of a host meet what is asked of one: the reference's examples and every key."""

from __future__ import annotations

import pytest
from attrs import evolve

from common.values import NicKind
from regiond.placement.interface_text import parse_interfaces
from regiond.placement.interfaces import attach
from regiond.placement.model import InterfaceOffer
from tests.unit.interface_offers import ALL, BOND, BRIDGE, CARD, DMZ, NOWHERE, host, refused


def placed(text: str, *interfaces: InterfaceOffer) -> list[str]:
    places, reason = attach(parse_interfaces(text), host(*interfaces))
    assert reason is None, reason
    return [next(one.name for one in interfaces if one.id == place.interface_id) for place in places]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a:id=10", "br0"),
        ("a:not_id=10", "bond0"),
        ("a:name=bond0", "bond0"),
        ("a:name=bond0,name=br0", "br0"),
        ("a:name=bond0,not_name=br0", "bond0"),
        ("a:hostname=inn", "br0"),
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
def test_each_key_chooses_what_it_says(text: str, names: str) -> None:
    assert placed(text, *ALL) == names.split()


def test_a_bridge_comes_before_a_bond_before_others_and_the_newest_first() -> None:
    newer = evolve(BRIDGE, id=8, name="br1"), evolve(BOND, id=9, name="bond1"), evolve(CARD, id=99, name="ens2")
    assert placed("a:mode=unconfigured", *newer, *ALL) == ["br0"]
    assert placed("a:not_type=bridge", *newer, *ALL) == ["bond0"]
    assert placed("a:type=physical", *newer, *ALL) == ["ens2"]


def test_a_managed_network_is_preferred_to_a_plain_interface() -> None:
    network = evolve(CARD, id=2, name="lxdbr0", kind=NicKind.NETWORK, type="bridge")
    assert placed("a:space=dmz", network, CARD) == ["lxdbr0"]


def test_what_is_inactive_or_only_listed_is_never_chosen() -> None:
    hidden = evolve(BRIDGE, id=20, active=False), evolve(BRIDGE, id=21, attachable=False)
    assert placed("a:mode=unconfigured", *hidden, CARD) == ["ens1"]
    assert "none of the host's 2 interfaces is active and can be attached to" in refused("a:id=20", *hidden)


def test_a_space_of_its_own_for_what_has_none() -> None:
    bare = evolve(CARD, space_id=None, space_name=None)
    assert placed("a:space=undefined", BRIDGE, bare) == ["ens1"]
    assert placed("a:not_space=undefined", BRIDGE, bare) == ["br0"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("eth0:space=wan", "interfaces: eth0 asks for space wan: the host's 4 interfaces are in dmz, lan, undefined"),
        (
            "a:vid=7",
            "interfaces: a asks for vid 7: the host's 4 interfaces are in VID 0 (untagged), VID 100 (dmz-vlan)",
        ),
        (
            "a:fabric=9,fabric=8",
            "interfaces: a asks for fabric 9 or 8: the host's 4 interfaces are in fabric-0, fabric-4",
        ),
        (
            "a:tag=slow",
            "interfaces: a asks for tag slow: the host's 4 interfaces are tagged fast, tagged west, without tags",
        ),
        (
            "a:link_speed=40000",
            "interfaces: a asks for link speed of at least 40000 Mb/s: "
            "the host's 4 interfaces are of 1000 Mb/s, 10000 Mb/s, unknown speed",
        ),
        (
            "a:space=lan,type=physical",
            "interfaces: a asks for space lan and type physical: "
            "of the host's 4 interfaces 2 meet space lan and are bond, bridge",
        ),
        ("a:hostname=other", "interfaces: a asks for hostname other: the host's 4 interfaces are those of inn"),
        (
            "a:subnet=10.9.0.0/24",
            "interfaces: a asks for subnet 10.9.0.0/24: the host's 4 interfaces are in "
            "10.1.0.0/24, 10.2.0.0/24, fd00:1::/64, no known subnet",
        ),
    ],
)
def test_a_refusal_names_what_was_asked_and_what_is_there(text: str, reason: str) -> None:
    assert refused(text, *ALL, evolve(NOWHERE, vid=100, vlan_name="dmz-vlan", fabric_name="fabric-4")) == reason


def test_a_host_without_interfaces_says_so() -> None:
    assert refused("a:space=lan") == "interfaces: a asks for space lan: the host has no interface"


def test_what_is_asked_of_the_subnet_of_an_address_is_true_of_one_subnet() -> None:
    wishes = parse_interfaces("a:subnet=lan-v6,ip=10.1.0.5")
    here = evolve(
        wishes[0], conditions=(*wishes[0].conditions, parse_interfaces("a:subnet_cidr=10.1.0.0/24")[0].conditions[0])
    )
    places, reason = attach((here,), host(BRIDGE))
    assert places == ()
    assert reason is not None
    assert reason.startswith("interfaces: a asks for ip 10.1.0.5 and subnet lan-v6")
    assert reason.endswith("in no one subnet that is subnet lan-v6 and subnet cidr 10.1.0.0/24")


def test_a_subnet_that_a_card_must_not_be_in_says_nothing_of_those_of_other_interfaces() -> None:
    places, reason = attach(parse_interfaces("a:not_subnet=lan-v6,ip=10.2.0.5"), host(CARD))
    assert ([one.subnet_id for one in places], reason) == ([DMZ.id], None)
