"""Whatever XML libvirt sends of a host or a guest, reading it ends in a value or a known error."""

from __future__ import annotations

from contextlib import suppress
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from common.errors import DriverFailed, InnkeeperError
from common.guests.sizes import GuestSize
from rackd.drivers.driver_errors import checks_answers
from rackd.drivers.libvirt.connection.host_reader import HostResponses
from rackd.drivers.libvirt.connection.interface_inventory import NodeDevices
from rackd.drivers.libvirt.definitions.disk_xml import add_disk, free_target, overlay_on, remove_disk
from rackd.drivers.libvirt.definitions.domain_config import domain_config
from rackd.drivers.libvirt.definitions.domain_xml import DomainCapabilities
from rackd.drivers.libvirt.definitions.host_traits import traits_of
from rackd.drivers.libvirt.definitions.metadata import (
    MARKER_NAMESPACE,
    recorded_marker,
    reservations_in,
    set_function_port,
)
from rackd.drivers.libvirt.definitions.nic_xml import nic_at, remove_nic
from rackd.drivers.libvirt.definitions.size_xml import set_size
from rackd.drivers.libvirt.inventory.facts import facts_of, pools_of
from rackd.drivers.libvirt.inventory.guests import guest_of_domain
from rackd.drivers.libvirt.inventory.node_devices import host_nics_of, taken_functions
from rackd.drivers.libvirt.kept_xml import parse_definition, restored
from rackd.drivers.libvirt.xml import MAX_DEPTH, MAX_MARKS, parse
from tests.contract.support.libvirt_node import PCI_DEVICE, PORT
from tests.unit.rackd.libvirt.test_libvirt_facts import CAPABILITIES, NETWORK, POOL, RESPONSES
from tests.unit.rackd.libvirt.test_libvirt_guests import OFF, PATHS
from tests.unit.rackd.libvirt_xml.test_libvirt_node_devices import BRIDGE, VLAN

OFFER = """
<domainCapabilities>
  <os><enum name='firmware'><value>efi</value></enum></os>
  <cpu><mode name='host-passthrough' supported='yes'/></cpu>
  <devices>
    <graphics supported='yes'><enum name='type'><value>vnc</value></enum></graphics>
    <video supported='yes'><enum name='modelType'><value>vga</value></enum></video>
  </devices>
</domainCapabilities>
"""


DOMAIN = """
<domain type='kvm'>
  <name>web-1</name><uuid>be92b969-8fab-405d-a684-c53778925c45</uuid>
  <metadata><innkeeper:marker xmlns:innkeeper="urn:innkeeper:marker:1"
    installation="00000000-0000-4000-8000-00000000000a" machine="be92b969-8fab-405d-a684-c53778925c45">
    <innkeeper:reservation network="default" mac="52:54:00:00:00:01" address="192.168.122.7"/>
    <innkeeper:function mac="52:54:00:00:00:02" port="eth3"/></innkeeper:marker></metadata>
  <memory unit='KiB'>4194304</memory><memoryBacking><hugepages/></memoryBacking>
  <vcpu placement='static' cpuset='0-3' current='2'>4</vcpu>
  <cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='2-3'/></cputune>
  <cpu><topology sockets='1' cores='4' threads='1'/><numa><cell id='0' cpus='0-3' memory='4194304'/></numa></cpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type="file"><source file="/var/lib/libvirt/images/a"/><target dev="vda"/><serial>d0</serial>
      <backingStore type="file"><source file="/var/lib/libvirt/images/base"/></backingStore><boot order="1"/></disk>
    <disk type='volume' device='disk'><source pool='images' volume='b'/><target dev='vdb'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
    <interface type='hostdev'><mac address='52:54:00:00:00:02'/><source>
      <address type='pci' domain='0x0000' bus='0x3b' slot='0x02' function='0x1'/></source></interface>
    <hostdev type='pci'><source><address domain='0x0000' bus='0x3b' slot='0x02' function='0x2'/></source></hostdev>
  </devices>
</domain>
"""
NESTED = "<a>" * 50_000 + "</a>" * 50_000
ODD = ["²", "٣", "9" * 5000, "-1", "", "0x", "nan", "1e9", "ff", "10.0.0.999", "1-99999", "a" * 300]
BROKEN = ["\x00", "&#0;", "<a/>", "]]>", "&x;", "<!DOCTYPE a>", "\ud800", "'", "<", NESTED]


@checks_answers
class Reader:
    """Reads as the driver does, whose public methods are checked in the same way."""

    def host(self, responses: HostResponses, offer: str) -> object:
        pools, _ = pools_of(responses)
        traits = traits_of(responses)
        return facts_of(responses, pools, {}), host_nics_of(responses), DomainCapabilities.of(offer, traits)

    def guest(self, xml: str) -> object:
        tree = parse(xml, "a guest")
        guest = guest_of_domain(xml, OFF, PATHS)
        set_size(parse(xml, "a guest"), GuestSize(cores=6, memory_mib=8192))
        restored(ET.tostring(parse_definition(xml, "a guest", MARKER_NAMESPACE), encoding="unicode"))
        self._change_disks(parse(xml, "a guest"))
        self._change_nics(parse(xml, "a guest"))
        return domain_config(tree), reservations_in(tree), taken_functions([tree]), guest

    def _change_disks(self, tree: ET.Element) -> None:
        overlay_on(tree, "base")
        add_disk(tree, ET.Element("disk", device=free_target([tree]) or ""))
        for disk in tree.findall("devices/disk"):
            remove_disk(tree, disk)

    def _change_nics(self, tree: ET.Element) -> None:
        nic = nic_at(tree, "52:54:00:00:00:02")
        if nic is not None:
            remove_nic(tree, nic)
        set_function_port(tree, "52:54:00:00:00:02", None)
        recorded_marker(tree)


@st.composite
def damaged(draw: st.DrawFn, whole: str) -> str:
    """The XML with up to three of its values replaced, or a piece of its text."""
    tree = ET.fromstring(whole)  # noqa: S314  # ours
    for _ in range(draw(st.integers(1, 3))):
        element = draw(st.sampled_from(list(tree.iter())))
        value = draw(st.sampled_from(ODD) | st.text(st.characters(min_codepoint=32, codec="utf-8"), max_size=5))
        if draw(st.booleans()) and element.attrib:
            element.set(draw(st.sampled_from(sorted(element.attrib))), value)
        elif draw(st.booleans()):
            element.text = value
        else:
            element.clear()
    text = ET.tostring(tree, encoding="unicode")
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(BROKEN)) + text[at + draw(st.integers(0, 3)) :]
    return text


def host_of(**xml: str) -> HostResponses:
    return evolve(
        RESPONSES,
        capabilities=xml.get("capabilities", CAPABILITIES),
        pools=(xml.get("pool", POOL),),
        networks=((xml.get("network", NETWORK), True),),
        interfaces=((xml.get("interface", VLAN), True), (BRIDGE, True)),
        devices=NodeDevices(
            interfaces=(xml.get("port", PORT),), pci_devices={"pci_0000_3b_00_0": xml.get("device", PCI_DEVICE)}
        ),
    )


SOURCES = {
    "capabilities": CAPABILITIES, "pool": POOL, "network": NETWORK, "interface": VLAN, "port": PORT,
    "device": PCI_DEVICE, "offer": OFFER,
}  # fmt: skip


def test_documented_xml_is_read() -> None:
    Reader().host(host_of(), OFFER)
    Reader().guest(DOMAIN)


@given(st.sampled_from(sorted(SOURCES)), st.data())
def test_damaged_xml_of_a_host_is_read_or_rejected(name: str, data: st.DataObject) -> None:
    xml = {name: data.draw(damaged(SOURCES[name]))}
    with capture_logs(), suppress(InnkeeperError):
        Reader().host(host_of(**xml), xml.get("offer", OFFER))


@given(damaged(DOMAIN))
def test_damaged_xml_of_a_guest_is_read_or_rejected(xml: str) -> None:
    with capture_logs(), suppress(InnkeeperError):
        Reader().guest(xml)


@given(st.text() | st.sampled_from(BROKEN))
def test_any_text_is_xml_or_a_failure_of_the_driver(text: str) -> None:
    with capture_logs(), suppress(DriverFailed):
        Reader().guest(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<a>" + "<b/>" * MAX_MARKS + "</a>", f"has {MAX_MARKS + 2} tags; the most are {MAX_MARKS}"),
        ("<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1), f"is nested more than {MAX_DEPTH} levels deep"),
        ("<a>" * (MAX_MARKS // 2) + "</a>" * (MAX_MARKS // 2), f"is nested more than {MAX_DEPTH} levels deep"),
    ],
)
def test_xml_of_more_than_libvirt_has_is_a_failure_of_the_driver(text: str, problem: str) -> None:
    with pytest.raises(DriverFailed, match=problem):
        parse(text, "the domain")


def test_xml_of_a_large_host_is_read() -> None:
    cells = "".join(f"<cell id='{number}'><cpus><cpu id='{number}'/></cpus></cell>" for number in range(1000))
    assert len(parse(f"<capabilities>{cells}</capabilities>", "the host")) == 1000
    deepest = "<a>" * MAX_DEPTH + "</a>" * MAX_DEPTH
    assert parse(deepest, "the domain").tag == "a"
