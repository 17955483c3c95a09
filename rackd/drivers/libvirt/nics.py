"""A guest's cards: what they may be attached to, and how a definition says it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from attrs import frozen

from common.errors import InvalidRequest, Unsupported
from common.values import HIGHEST_VID, NicKind, NicSpec
from rackd.drivers.libvirt.trees import Element

MACVLAN_MODES = ("bridge", "vepa", "private", "passthrough")
_MODE_WORDS = {"passthru": "passthrough"}  # what clients of MAAS call it
# The type of an interface, and which attribute of its source names what it is attached to.
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
class Function:
    """The virtual function of a card that a guest is given: one in particular, or one of a network's own choice."""

    pci_address: str = ""  # as in `0000:3b:02.1`
    network: str = ""


def check_nic(nic: NicSpec) -> None:
    """InvalidRequest or Unsupported when no definition could hold this card."""
    if _MAC.fullmatch(nic.mac_address) is None:
        raise InvalidRequest(f"{nic.mac_address!r} is not a MAC address.")
    if nic.kind not in _KINDS:
        raise Unsupported(f"Innkeeper makes no cards of kind '{nic.kind}' on libvirt.")
    if nic.kind is not NicKind.USER and _SOURCE.fullmatch(nic.source) is None:
        raise InvalidRequest(f"{nic.source!r} cannot be what the card {nic.name!r} is attached to.")
    if nic.kind is NicKind.MACVLAN and mode_of(nic) not in MACVLAN_MODES:
        raise InvalidRequest(f"{nic.macvlan_mode!r} is no mode of a macvlan card: {', '.join(MACVLAN_MODES)}.")
    if nic.vid is not None and not 0 <= nic.vid <= HIGHEST_VID:
        raise InvalidRequest(f"{nic.vid} is no VLAN tag: 1 to {HIGHEST_VID}, or 0 for none.")
    if nic.vid and nic.kind is not NicKind.SRIOV:
        raise Unsupported(f"libvirt tags the frames of virtual functions only, so not those of {nic.name!r}.")


def mode_of(nic: NicSpec) -> str:
    """libvirt's word for how macvlan cards on one interface see each other."""
    mode = nic.macvlan_mode or "bridge"
    return _MODE_WORDS.get(mode, mode)


def nic_element(nic: NicSpec, function: Function | None, *, boot_order: int | None) -> Element:
    """`function` is what a card of kind SRIOV gets."""
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


def _of_function(nic: NicSpec, function: Function) -> Element:
    if function.network:
        element = ET.Element("interface", type="network")
        ET.SubElement(element, "source", network=function.network)
        return element
    domain, bus, slot_and_function = function.pci_address.split(":")
    slot, number = slot_and_function.split(".")
    # `managed`: libvirt takes it from the server's own driver when the guest starts, and gives it back.
    element = ET.Element("interface", type="hostdev", managed="yes")
    parts = {"domain": domain, "bus": bus, "slot": slot, "function": number}
    source = ET.SubElement(element, "source")
    ET.SubElement(source, "address", {"type": "pci", **{key: f"0x{value}" for key, value in parts.items()}})
    return element
