"""Checks a guest's NICs, and builds, finds and removes their XML. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from attrs import frozen

from common.errors import InvalidRequest, Unsupported
from common.guests.guest_spec import NicSpec
from common.values import MAX_VID, NicKind
from rackd.drivers.libvirt.xml import Element, attribute

MACVLAN_MODES = ("bridge", "vepa", "private", "passthrough")
_MODE_WORDS = {"passthru": "passthrough"}  # MAAS's name for it
# The interface type, and the attribute of `<source>` that names the network, bridge or interface.
_KINDS: Mapping[NicKind, tuple[str, str]] = {
    NicKind.NETWORK: ("network", "network"),
    NicKind.BRIDGE: ("bridge", "bridge"),
    NicKind.MACVLAN: ("direct", "dev"),
    NicKind.USER: ("user", ""),
    NicKind.SRIOV: ("hostdev", ""),
}
_SOURCE = re.compile(r"[^\x00-\x20\x7f/'\"<>&\ud800-\udfff\ufffe\uffff]{1,200}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII | re.IGNORECASE)


@frozen(kw_only=True)
class VirtualFunction:
    """An SR-IOV virtual function: either a fixed one, or one that a network assigns at each start."""

    pci_address: str = ""  # as in `0000:3b:02.1`
    network: str = ""


def check_nic(nic: NicSpec) -> None:
    """Raises InvalidRequest or Unsupported if domain XML cannot describe this NIC."""
    if _MAC.fullmatch(nic.mac_address) is None:
        raise InvalidRequest(f"{nic.mac_address!r} is not a MAC address.")
    if nic.kind not in _KINDS:
        raise Unsupported(f"libvirt hosts do not support NICs of kind '{nic.kind}'.")
    if nic.kind is not NicKind.USER and _SOURCE.fullmatch(nic.source) is None:
        raise InvalidRequest(f"The NIC {nic.name!r} has the invalid source {nic.source!r}.")
    if nic.kind is NicKind.MACVLAN and mode_of(nic) not in MACVLAN_MODES:
        raise InvalidRequest(f"{nic.macvlan_mode!r} is not a macvlan mode. Choices: {', '.join(MACVLAN_MODES)}.")
    if nic.vid is not None and not 0 <= nic.vid <= MAX_VID:
        raise InvalidRequest(f"{nic.vid} is not a VLAN tag: use 1 to {MAX_VID}, or 0 for untagged.")
    if nic.vid and nic.kind is not NicKind.SRIOV:
        raise Unsupported(f"libvirt can tag only virtual functions with a VLAN; the NIC {nic.name!r} is none.")


def mode_of(nic: NicSpec) -> str:
    """Returns libvirt's name of the macvlan mode."""
    mode = nic.macvlan_mode or "bridge"
    return _MODE_WORDS.get(mode, mode)


def nic_element(nic: NicSpec, function: VirtualFunction | None, *, boot_order: int | None) -> Element:
    """`function` is required for a NIC of kind SRIOV."""
    element = _of_function(nic, function) if function is not None else _of_host(nic)
    ET.SubElement(element, "mac", address=nic.mac_address.lower())
    if nic.kind is not NicKind.SRIOV:
        ET.SubElement(element, "model", type="virtio")
    elif nic.vid:
        ET.SubElement(ET.SubElement(element, "vlan"), "tag", id=str(nic.vid))
    if boot_order is not None:
        ET.SubElement(element, "boot", order=str(boot_order))
    return element


def _of_host(nic: NicSpec) -> Element:
    kind, key = _KINDS[nic.kind]
    element = ET.Element("interface", type=kind)
    if key:
        source = ET.SubElement(element, "source", {key: nic.source})
        if nic.kind is NicKind.MACVLAN:
            source.set("mode", mode_of(nic))
    return element


def _of_function(nic: NicSpec, function: VirtualFunction) -> Element:
    if function.network:
        element = ET.Element("interface", type="network")
        ET.SubElement(element, "source", network=function.network)
        return element
    domain, bus, slot_and_function = function.pci_address.split(":")
    slot, number = slot_and_function.split(".")
    # `managed`: libvirt detaches the function from the host's driver when the guest starts, and reattaches it.
    element = ET.Element("interface", type="hostdev", managed="yes")
    parts = {"domain": domain, "bus": bus, "slot": slot, "function": number}
    source = ET.SubElement(element, "source")
    ET.SubElement(source, "address", {"type": "pci", **{key: f"0x{value}" for key, value in parts.items()}})
    return element


def nic_at(domain: Element, mac_address: str) -> Element | None:
    """Returns the NIC with this MAC address."""
    wanted = mac_address.lower()
    nics = domain.iterfind("devices/interface")
    return next((nic for nic in nics if attribute(nic, "mac", "address").lower() == wanted), None)


def add_nic(domain: Element, nic: Element) -> None:
    devices = domain.find("devices")
    (ET.SubElement(domain, "devices") if devices is None else devices).append(nic)


_KEPT = {"boot", "address", "link", "mtu", "bandwidth", "alias", "rom"}
_KEPT_OF_HOST = {*_KEPT, "model", "driver", "filterref"}  # a virtual function has none of them


_OF_SOURCE = {"source", "vlan", "virtualport"}  # such as a port group, which a NIC on the same network keeps


def _same_source(before: Element, after: Element) -> bool:
    """Returns whether both are on the same network, bridge or interface, in the same way."""
    mine, others = before.find("source"), after.find("source")
    if before.get("type") != after.get("type") or mine is None or others is None:
        return False
    return all(mine.get(key) == value for key, value in others.attrib.items())


def replaced_nic(before: Element, after: Element) -> Element:
    """Returns `after` with what the guest and an administrator know of the NIC `before`: its slot, its model …"""
    is_function = "hostdev" in {before.get("type"), after.get("type")}
    keeps = _KEPT if is_function else _KEPT_OF_HOST | _OF_SOURCE if _same_source(before, after) else _KEPT_OF_HOST
    kept = [part for part in before if part.tag in keeps]
    tags = {part.tag for part in kept}
    element = ET.Element(after.tag, after.attrib)
    element.extend(part for part in after if part.tag not in tags)
    element.extend(kept)
    return element


def same_function(before: Element, after: NicSpec) -> Element:
    """Returns the NIC with another MAC address and VLAN tag, on the virtual function that it has."""
    element = ET.Element(before.tag, before.attrib)
    element.extend(part for part in before if part.tag not in {"mac", "vlan"})
    ET.SubElement(element, "mac", address=after.mac_address.lower())
    if after.vid:
        ET.SubElement(ET.SubElement(element, "vlan"), "tag", id=str(after.vid))
    return element


def put_in_place(domain: Element, before: Element, after: Element) -> None:
    for devices in domain.findall("devices"):
        devices[list(devices).index(before)] = after


def remove_nic(domain: Element, nic: Element) -> None:
    """The boot order of the other devices stays as it is: libvirt allows gaps in it."""
    for devices in domain.findall("devices"):
        devices.remove(nic)
