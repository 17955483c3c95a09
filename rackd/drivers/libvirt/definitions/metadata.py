"""Writes and reads domain metadata: ownership marker, and in it what libvirt does not show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID
from xml.etree import ElementTree as ET

from common.guests.guest_spec import GuestSpec
from common.values import OwnershipMarker
from rackd.drivers.generation import is_higher, parsed_generation
from rackd.drivers.libvirt.addresses.delivery import Reservation
from rackd.drivers.libvirt.xml import Element

MARKER_NAMESPACE = "urn:innkeeper:marker:1"
_GENERATION = "generation"  # an attribute of the marker
_MARKER, _RESERVATION, _FUNCTION, _VARIABLES, _MAXIMUM, _BOOTED_ONCE, _UEFI = (
    f"{{{MARKER_NAMESPACE}}}{tag}"
    for tag in ("marker", "reservation", "function", "firmware-variables", "maximum", "booted-once", "uefi")
)

ET.register_namespace("innkeeper", MARKER_NAMESPACE)


def metadata_element(
    spec: GuestSpec, reservations: tuple[Reservation, ...], sriov_macs: Mapping[str, object]
) -> Element:
    """Returns `<metadata>`: the marker, and in it what was allocated on the host and the devices do not show.

    `sriov_macs` has the MAC addresses of the NICs that received a virtual function.
    """
    metadata = ET.Element("metadata")
    marker = ET.SubElement(metadata, _MARKER, _marker_attributes(spec.marker))
    _add_reservations(marker, reservations)
    for nic in spec.nics:
        if nic.mac_address in sriov_macs:
            ET.SubElement(marker, _FUNCTION, {"mac": nic.mac_address.lower(), "port": nic.source})
    maximum = {"cores": spec.max_cores, "memory-mib": spec.max_memory_mib}
    if any(maximum.values()):
        ET.SubElement(marker, _MAXIMUM, {key: str(amount) for key, amount in maximum.items() if amount})
    if spec.uefi:
        ET.SubElement(marker, _UEFI)
    return metadata


def marker_element(marker: OwnershipMarker) -> str:
    """Returns the element for setMetadata, which adds the namespace itself."""
    return ET.tostring(ET.Element("marker", _marker_attributes(marker)), encoding="unicode")


def recorded_marker(domain: Element) -> str | None:
    """Returns the marker with all that it records, as `marker_element` does; None without one."""
    marker = _find(domain)
    return None if marker is None else ET.tostring(_without_namespace(marker), encoding="unicode")


def _without_namespace(element: Element) -> Element:
    found = ET.Element(element.tag.rpartition("}")[2], element.attrib)
    found.extend(map(_without_namespace, element))
    return found


def _marker_attributes(marker: OwnershipMarker) -> dict[str, str]:
    return {"installation": str(marker.installation_id), "machine": str(marker.machine_id)}


def marker_in(domain: Element) -> OwnershipMarker | None:
    found = _find(domain)
    if found is None:
        return None
    try:
        return OwnershipMarker(installation_id=UUID(found.get("installation")), machine_id=UUID(found.get("machine")))
    except (TypeError, ValueError):
        return None


def generation_in(domain: Element) -> int | None:
    """Returns how often a use of the machine has begun, as the marker says; None if it does not."""
    marker = _find(domain)
    return None if marker is None else parsed_generation(marker.get(_GENERATION))


def raised_generation(domain: Element, generation: int) -> str | None:
    """Returns the marker as `recorded_marker` does, with this generation.

    None without a marker, or if it has this generation or a higher one.
    """
    marker = _find(domain)
    if marker is None or not is_higher(generation, generation_in(domain)):
        return None
    marker.set(_GENERATION, str(generation))
    return recorded_marker(domain)


def reservations_in(domain: Element) -> tuple[Reservation, ...]:
    """Returns the DHCP reservations that were created for the guest."""
    marker = _find(domain)
    return () if marker is None else tuple(map(_reservation, marker.iterfind(_RESERVATION)))


def set_reservations(domain: Element, reservations: Iterable[Reservation]) -> None:
    """Replaces the recorded reservations. Does nothing without a marker."""
    marker = _find(domain)
    if marker is None:
        return
    for one in marker.findall(_RESERVATION):
        marker.remove(one)
    _add_reservations(marker, reservations)


def _add_reservations(marker: Element, reservations: Iterable[Reservation]) -> None:
    for one in reservations:
        ET.SubElement(marker, _RESERVATION, {"network": one.network, "mac": one.mac_address, "address": one.address})


def _reservation(element: Element) -> Reservation:
    network, mac_address, address = (element.get(key, "") for key in ("network", "mac", "address"))
    return Reservation(network=network, mac_address=mac_address, address=address)


def function_ports_in(domain: Element) -> Mapping[str, str]:
    """Returns the port of each NIC that received a virtual function at compose, by MAC address."""
    marker = _find(domain)
    found = () if marker is None else marker.iterfind(_FUNCTION)
    return {one.get("mac", ""): one.get("port", "") for one in found}


def set_function_port(domain: Element, mac_address: str, port: str | None) -> None:
    """Records the port of a NIC with a virtual function; None: that it has none. Does nothing without a marker."""
    marker = _find(domain)
    if marker is None:
        return
    for one in marker.findall(_FUNCTION):
        if one.get("mac", "") == mac_address.lower():
            marker.remove(one)
    if port is not None:
        ET.SubElement(marker, _FUNCTION, {"mac": mac_address.lower(), "port": port})


def maximum_in(domain: Element) -> tuple[int, int]:
    """Returns the cores and the memory in MiB that compose prepared the guest for; 0: none."""
    marker = _find(domain)
    found = None if marker is None else marker.find(_MAXIMUM)
    texts = ("", "") if found is None else (found.get("cores", ""), found.get("memory-mib", ""))
    cores, memory_mib = (int(text) if text.isdecimal() else 0 for text in texts)
    return cores, memory_mib


def note_firmware_variables(domain: Element) -> None:
    """Records that the host may still have a file of UEFI variables for this domain. Idempotent."""
    marker = _find(domain)
    if marker is not None and marker.find(_VARIABLES) is None:
        ET.SubElement(marker, _VARIABLES)


def keeps_uefi(domain: Element) -> bool:
    """Returns whether the guest was composed with UEFI firmware, which it has whatever is deployed."""
    marker = _find(domain)
    return marker is not None and marker.find(_UEFI) is not None


def keep_uefi(domain: Element) -> None:
    """Records that the guest has UEFI firmware whatever is deployed. Idempotent."""
    marker = _find(domain)
    if marker is not None and marker.find(_UEFI) is None:
        ET.SubElement(marker, _UEFI)


def set_booted_once(domain: Element, key: str) -> None:
    """Records, in the XML of one start, the order for this start. Does nothing without a marker."""
    marker = _find(domain)
    if marker is None:
        return
    for one in marker.findall(_BOOTED_ONCE):
        marker.remove(one)
    ET.SubElement(marker, _BOOTED_ONCE, {"key": key})


def booted_once(domain: Element) -> str | None:
    """Returns the key that `set_booted_once` recorded."""
    marker = _find(domain)
    found = None if marker is None else marker.find(_BOOTED_ONCE)
    return None if found is None else found.get("key")


def has_firmware_variables(domain: Element) -> bool:
    marker = _find(domain)
    return marker is not None and marker.find(_VARIABLES) is not None


def _find(domain: Element) -> Element | None:
    return domain.find(f"metadata/{_MARKER}")
