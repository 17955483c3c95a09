"""Which VLAN a NIC on a libvirt network gets, as libvirt decides it."""

from __future__ import annotations

import pytest
from attrs import evolve

from rackd.drivers.libvirt.definitions.domain_config import domain_config
from rackd.drivers.libvirt.definitions.vlan_xml import Vlan, network_vlans, vlan_in
from rackd.drivers.libvirt.inventory.node_devices import host_nics_of
from rackd.drivers.libvirt.xml import parse
from tests.unit.rackd.libvirt.test_libvirt_facts import RESPONSES, facts

ACCESS = "<vlan><tag id='7'/></vlan>"
TRUNK = "<vlan trunk='yes'><tag id='42'/><tag id='47'/></vlan>"
NATIVE = "<vlan trunk='yes'><tag id='47'/><tag id='42' nativeMode='untagged'/></vlan>"
DEFAULT = "<portgroup name='vlan-10' default='yes'><vlan><tag id='10'/></vlan></portgroup>"
OTHER = "<portgroup name='twenty'><vlan><tag id='20'/></vlan></portgroup>"
PLAIN = "<portgroup name='plain' default='yes'><bandwidth><inbound average='1'/></bandwidth></portgroup>"


def network(*parts: str) -> str:
    return f"<network><name>ovs</name><forward mode='bridge'/><bridge name='ovsbr0'/>{''.join(parts)}</network>"


@pytest.mark.parametrize(
    ("parts", "vid"),
    [
        pytest.param((), None, id="no VLAN: that of its bridge"),
        pytest.param((ACCESS,), 7, id="access"),
        pytest.param((TRUNK,), None, id="a trunk has none"),
        pytest.param((TRUNK.replace(" trunk='yes'", ""),), None, id="several tags are a trunk"),
        pytest.param(("<vlan trunk='yes'><tag id='42'/></vlan>",), None, id="a trunk of one"),
        pytest.param((NATIVE,), 42, id="native"),
        pytest.param((NATIVE.replace("untagged", "tagged"),), 42, id="native, tagged on the wire"),
        pytest.param((NATIVE, DEFAULT, OTHER), 10, id="the default port group comes first"),
        pytest.param((OTHER, DEFAULT), 10, id="in any order"),
        pytest.param((NATIVE, OTHER), 42, id="without a default group the network's own"),
        pytest.param((ACCESS, PLAIN), 7, id="a default group without VLAN"),
        pytest.param((ACCESS, DEFAULT.replace("<vlan>", "<vlan trunk='yes'>")), None, id="a trunk by the group"),
    ],
)
def test_a_network_has_the_vlan_of_a_nic_without_port_group(parts: tuple[str, ...], vid: int | None) -> None:
    found = {one.name: one for one in facts(evolve(RESPONSES, networks=((network(*parts), True),))).networks}
    assert found["ovs"].vid == vid


def test_a_port_group_counts_before_the_network() -> None:
    vlans = network_vlans(parse(network(NATIVE, DEFAULT, OTHER), "a network"))
    assert [vlans.of(group) for group in ("", "twenty", "vlan-10", "absent")] == [
        Vlan(vid=10), Vlan(vid=20), Vlan(vid=10), Vlan(vid=42),
    ]  # fmt: skip


def test_a_nic_can_have_a_vlan_of_its_own() -> None:
    nic = f"<interface type='network'><source network='ovs'/>{ACCESS}</interface>"
    assert vlan_in(parse(nic, "a NIC")) == Vlan(vid=7)
    assert vlan_in(parse(nic.replace(ACCESS, ""), "a NIC")) is None


def test_a_network_of_libvirts_own_bridge_is_untagged() -> None:
    assert [one.vid for one in facts().networks if one.name == "default"] == [0]


@pytest.mark.parametrize(
    ("group", "own", "expected"),
    [
        ("", "", (False, None)),
        ("vlan-10", "", (False, None)),
        ("twenty", "", (True, 20)),
        ("trunk", "", (True, None)),
        ("absent", "", (True, 42)),
        ("twenty", ACCESS, (True, 7)),
        ("", TRUNK, (True, None)),
    ],
)
def test_a_nic_in_another_port_group_has_a_vlan_of_its_own(
    group: str, own: str, expected: tuple[bool, int | None]
) -> None:
    trunk = f"<portgroup name='trunk'>{TRUNK}</portgroup>"
    responses = evolve(RESPONSES, networks=((network(NATIVE, DEFAULT, OTHER, trunk), True),))
    source = f"<source network='ovs' portgroup='{group}'/>" if group else "<source network='ovs'/>"
    interface = f"<interface type='network'><mac address='a'/>{source}{own}</interface>"
    config = domain_config(parse(f"<domain><devices>{interface}</devices></domain>", "a guest"))
    (nic,) = config.nics_on(host_nics_of(responses))
    assert (nic.own_vlan, nic.vid) == expected


def test_a_nic_on_a_bridge_can_have_a_vlan() -> None:
    interface = f"<interface type='bridge'><mac address='a'/><source bridge='ovsbr0'/>{ACCESS}</interface>"
    config = domain_config(parse(f"<domain><devices>{interface}</devices></domain>", "a guest"))
    (nic,) = config.nics_on(host_nics_of(RESPONSES))
    assert (nic.own_vlan, nic.vid) == (True, 7)
