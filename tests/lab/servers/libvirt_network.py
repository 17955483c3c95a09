"""A libvirt network for one test, with its own DHCP server and bridge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import libvirt

_DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"
SUBNET = "192.168.231"  # libvirt does not start a second network with this address


class LabNetwork:
    """A network that is defined and active."""

    def __init__(self, connection: Any, boot_file: Path | None = None, boot_url: str = "") -> None:
        """`boot_file` is what the network's server offers to NICs that boot, by TFTP; `boot_url`, by HTTP with UEFI."""
        self.name = f"iknet-{uuid4().hex[:6]}"
        self.bridge = f"{self.name.removeprefix('iknet-')}-ik"
        network = ET.Element("network")
        ET.SubElement(network, "name").text = self.name
        ET.SubElement(network, "forward", mode="nat")
        ET.SubElement(network, "bridge", name=self.bridge)
        own = ET.SubElement(network, "ip", address=f"{SUBNET}.1", netmask="255.255.255.0")
        if boot_file is not None:
            ET.SubElement(own, "tftp", root=str(boot_file.parent))
        dhcp = ET.SubElement(own, "dhcp")
        ET.SubElement(dhcp, "range", start=f"{SUBNET}.2", end=f"{SUBNET}.99")
        if boot_file is not None:
            ET.SubElement(dhcp, "bootp", file=boot_file.name)
        if boot_url:
            options = ET.SubElement(network, f"{{{_DNSMASQ}}}options")
            for value in (
                "dhcp-vendorclass=set:http,HTTPClient",
                "dhcp-option-force=tag:http,60,HTTPClient",
                f"dhcp-boot=tag:http,{boot_url}",
            ):
                ET.SubElement(options, f"{{{_DNSMASQ}}}option", value=value)
        self._network = connection.networkDefineXML(ET.tostring(network, encoding="unicode"))
        try:
            self._network.create()
        except libvirt.libvirtError:  # such as by a test of somebody else that has the subnet
            self._network.undefine()
            raise

    def hosts(self) -> list[dict[str, str]]:
        """The DHCP host entries; asserts that running and persistent network agree."""
        live, defined = (self._hosts(flag) for flag in (0, libvirt.VIR_NETWORK_XML_INACTIVE))
        assert live == defined
        return live

    def _hosts(self, flag: int) -> list[dict[str, str]]:
        tree = ET.fromstring(self._network.XMLDesc(flag))  # noqa: S314  libvirt's own answer
        return [dict(host.attrib) for host in tree.iterfind("ip/dhcp/host")]

    def enter(self, mac_address: str, address: str) -> None:
        """Adds a DHCP host entry, as an administrator does."""
        self._update(libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, mac_address, address)

    def take_away(self, mac_address: str, address: str) -> None:
        self._update(libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE, mac_address, address)

    def _update(self, command: int, mac_address: str, address: str) -> None:
        element = ET.tostring(ET.Element("host", mac=mac_address, ip=address), encoding="unicode")
        both = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
        self._network.update(command, libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, element, both)

    def close(self) -> None:
        self._network.destroy()
        self._network.undefine()


@contextmanager
def lab_network(connection: Any, boot_file: Path | None = None, boot_url: str = "") -> Iterator[LabNetwork]:
    network = LabNetwork(connection, boot_file, boot_url)
    try:
        yield network
    finally:
        network.close()
