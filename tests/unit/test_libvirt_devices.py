"""Cards, ports and interfaces of a server as libvirt tells of them; recorded answers of libvirt 9.0, shortened."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from common.hardware import NetworkCard, NetworkPort
from common.values import HostNetwork, NicKind
from rackd.drivers.libvirt.devices import (
    NO_DEVICES,
    Devices,
    device_behind,
    is_function,
    may_be_port,
    network_cards,
    pci_address,
    ports_of,
    taken_functions,
)
from rackd.drivers.libvirt.interfaces import interfaces_of, is_composed
from tests.contract.libvirt_node import CARD, FUNCTION, PORT

DEVICES = Devices(interfaces=(PORT,), cards={"pci_0000_3b_00_0": CARD})


def test_a_card_is_told_with_its_ports_and_functions() -> None:
    assert network_cards(DEVICES) == (
        NetworkCard(
            pci_address="0000:3b:00.0",
            vendor="Intel Corporation",
            vendor_id="8086",
            product="Ethernet Controller X710",
            product_id="1572",
            driver="i40e",
            numa_node=1,
            virtual_functions=2,
            virtual_functions_made=2,
            ports=(NetworkPort(name="eth3", mac_address="3c:fd:fe:00:00:01", link=True, speed_mbps=10_000),),
        ),
    )


def test_a_card_that_tells_nothing_is_a_card_all_the_same() -> None:
    bare = "<device><name>pci_0</name><capability type='pci'/></device>"
    assert network_cards(Devices(cards={"pci_0": bare})) == (NetworkCard(),)


@pytest.mark.parametrize("speed", ["0", "4294967295", "fast"])
def test_a_speed_that_is_none_is_unknown(speed: str) -> None:
    slow = DEVICES.interfaces[0].replace("10000", speed)
    assert [port.speed_mbps for port in ports_of(Devices(interfaces=(slow,), cards=DEVICES.cards))] == [None]


def test_functions_and_virtual_interfaces_are_known_for_what_they_are() -> None:
    assert (is_function(FUNCTION), is_function(CARD)) == (True, False)
    assert device_behind(PORT) == "pci_0000_3b_00_0"
    assert device_behind("<device><parent>computer</parent></device>") is None
    assert [may_be_port(name) for name in ("net_vnet7_fe_54", "net_tap12_fe_54", "net_eth0_52_54")] == [
        False,
        False,
        True,
    ]


def test_a_port_of_another_kind_of_device_is_one_without_a_card() -> None:
    usb = Devices(interfaces=(PORT.replace("pci_0000_3b_00_0", "usb_1_2_1_0"),), cards={})
    assert [(port.name, port.card, port.functions) for port in ports_of(usb)] == [("eth3", None, ())]
    assert network_cards(usb) == ()
    assert [one.name for one in interfaces_of((), usb, ())] == ["eth3"]


def test_functions_that_guests_have_are_found_however_they_were_given() -> None:
    address = "<source><address domain='0x0000' bus='0x3b' slot='0x02' function='0x{}'/></source>"
    domain = f"""<domain><devices>
      <interface type='hostdev'>{address.format(0)}</interface>
      <hostdev mode='subsystem' type='pci'>{address.format(1)}</hostdev>
      <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
    </devices></domain>"""
    assert taken_functions([ET.fromstring(domain)]) == {"0000:3b:02.0", "0000:3b:02.1"}  # noqa: S314  ours


def test_an_address_that_is_none_is_left_out() -> None:
    assert pci_address(ET.Element("address", bus="x")) is None


BRIDGE = """<interface type='bridge' name='br0'><bridge stp='off'>
  <interface type='ethernet' name='eth3'/><interface type='ethernet' name='vnet4'/></bridge>
  <protocol family='ipv4'><ip address='10.3.0.1' prefix='24'/><ip address='odd'/></protocol>
  <protocol family='ipv6'><ip address='fe80::1' prefix='64'/></protocol>
  <mac address='3c:fd:fe:00:00:01'/></interface>"""
LONELY = "<interface type='bridge' name='br1'><bridge stp='off'/></interface>"
VLAN = "<interface type='vlan' name='bond0.101'><vlan tag='101'><interface name='bond0'/></vlan></interface>"
OVER_VLAN = """<interface type='bridge' name='br101'><bridge>
  <interface type='vlan' name='bond0.101'/></bridge></interface>"""
BOND = """<interface type='bond' name='bond0'><bond mode='802.3ad'>
  <interface type='ethernet' name='eth4'/></bond></interface>"""


def test_interfaces_are_told_with_their_vlan_and_what_leads_there() -> None:
    told = [(BRIDGE, True), (LONELY, False), (VLAN, True), (OVER_VLAN, True), (BOND, True)]
    found = {one.name: one for one in interfaces_of(told, NO_DEVICES, ())}
    assert {name: (one.kind, one.type, one.vid, one.parent) for name, one in found.items()} == {
        "br0": (NicKind.BRIDGE, "bridge", 0, "eth3"),
        "br1": (NicKind.BRIDGE, "bridge", None, None),
        "br101": (NicKind.BRIDGE, "bridge", 101, "bond0"),
        "bond0": (NicKind.MACVLAN, "bond", 0, None),
        "bond0.101": (NicKind.MACVLAN, "vlan", 101, "bond0"),
    }
    assert found["br0"].addresses == ("10.3.0.1/24",)
    assert found["br0"].cidrs == ("10.3.0.0/24",)
    assert found["br1"].active
    assert [name for name, one in found.items() if not one.attachable] == ["bond0.101"]


def test_a_port_in_a_bridge_takes_guests_on_its_virtual_functions_only() -> None:
    port = HostNetwork(
        kind=NicKind.MACVLAN,
        name="eth3",
        type="physical",
        vid=0,
        mac_address="3c:fd:fe:00:00:01",
        speed_mbps=10_000,
        virtual_functions=2,
    )
    assert interfaces_of([(BRIDGE, True)], DEVICES, ())[1] == port
    undivided = Devices(interfaces=(PORT,), cards={"pci_0000_3b_00_0": CARD.replace("<address", "<a")})
    assert not interfaces_of([(BRIDGE, True)], undivided, ())[1].attachable


def test_bridges_of_libvirts_own_networks_are_told_as_networks() -> None:
    assert interfaces_of([(LONELY, True)], NO_DEVICES, {"br1"}) == ()


def test_only_what_is_composed_of_others_is_read_as_an_interface() -> None:
    assert is_composed(BRIDGE)
    assert not is_composed("<interface type='ethernet' name='eth0'/>")
