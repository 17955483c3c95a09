"""Network devices, ports and interfaces of a server; recorded from libvirt 9.0, shortened."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from common.hardware import NetworkDevice, NetworkPort
from common.values import HostNetwork, NicKind
from rackd.drivers.libvirt.connection.interface_inventory import (
    NO_DEVICES,
    NodeDevices,
    is_composed,
    is_virtual_function,
    may_be_port,
    parent_device,
)
from rackd.drivers.libvirt.inventory.interfaces import interfaces_of
from rackd.drivers.libvirt.inventory.node_devices import network_devices, ports_of, taken_functions
from rackd.drivers.libvirt.xml import pci_address
from tests.contract.support.libvirt_node import FUNCTION, PCI_DEVICE, PORT

DEVICES = NodeDevices(interfaces=(PORT,), pci_devices={"pci_0000_3b_00_0": PCI_DEVICE})


def test_network_devices_have_ports_and_functions() -> None:
    assert network_devices(DEVICES) == (
        NetworkDevice(
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


def test_devices_without_details_are_listed() -> None:
    bare = "<device><name>pci_0</name><capability type='pci'/></device>"
    assert network_devices(NodeDevices(pci_devices={"pci_0": bare})) == (NetworkDevice(),)


@pytest.mark.parametrize("speed", ["0", "4294967295", "fast"])
def test_invalid_speeds_are_unknown(speed: str) -> None:
    slow = DEVICES.interfaces[0].replace("10000", speed)
    assert [port.speed_mbps for port in ports_of(NodeDevices(interfaces=(slow,), pci_devices=DEVICES.pci_devices))] == [
        None
    ]


def test_virtual_functions_and_interfaces_are_recognised() -> None:
    assert (is_virtual_function(FUNCTION), is_virtual_function(PCI_DEVICE)) == (True, False)
    assert parent_device(PORT) == "pci_0000_3b_00_0"
    assert parent_device("<device><parent>computer</parent></device>") is None
    assert may_be_port("net_eth0_52_54")
    assert not any(may_be_port(name) for name in ("net_vnet7_fe_54", "net_tap12_fe_54"))


def test_ports_of_other_buses_have_no_pci_device() -> None:
    usb = NodeDevices(interfaces=(PORT.replace("pci_0000_3b_00_0", "usb_1_2_1_0"),), pci_devices={})
    assert [(port.name, port.pci_device, port.functions) for port in ports_of(usb)] == [("eth3", None, ())]
    assert network_devices(usb) == ()
    assert [one.name for one in interfaces_of((), usb, ())] == ["eth3"]


def test_assigned_functions_are_found_in_every_form() -> None:
    address = "<source><address domain='0x0000' bus='0x3b' slot='0x02' function='0x{}'/></source>"
    domain = f"""<domain><devices>
      <interface type='hostdev'>{address.format(0)}</interface>
      <hostdev mode='subsystem' type='pci'>{address.format(1)}</hostdev>
      <hostdev mode='subsystem' type='usb'><source><address bus='1' device='2'/></source></hostdev>
    </devices></domain>"""
    assert taken_functions([ET.fromstring(domain)]) == {"0000:3b:02.0", "0000:3b:02.1"}  # noqa: S314  # trusted


def test_malformed_pci_addresses_are_omitted() -> None:
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


def test_interfaces_have_vlan_and_parent() -> None:
    listed = [(BRIDGE, True), (LONELY, False), (VLAN, True), (OVER_VLAN, True), (BOND, True)]
    found = {one.name: one for one in interfaces_of(listed, NO_DEVICES, ())}
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


def test_bridge_ports_accept_only_virtual_functions() -> None:
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
    undivided = NodeDevices(interfaces=(PORT,), pci_devices={"pci_0000_3b_00_0": PCI_DEVICE.replace("<address", "<a")})
    assert not interfaces_of([(BRIDGE, True)], undivided, ())[1].attachable


def test_bridges_of_libvirt_networks_are_listed_once() -> None:
    assert interfaces_of([(LONELY, True)], NO_DEVICES, {"br1"}) == ()


def test_only_bridges_bonds_and_vlans_are_interfaces() -> None:
    assert is_composed(BRIDGE)
    assert not is_composed("<interface type='ethernet' name='eth0'/>")
