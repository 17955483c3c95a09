"""Changes a domain's definition for a deployment: the seed drive, and which device boots first. Pure.

Everything else stays as it is, with UUID, MAC addresses, metadata and what an administrator changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from common.errors import WrongState
from common.guest_spec import DiskSpec
from common.values import OwnershipMarker
from rackd.drivers.libvirt.definitions.seed_xml import PreparedSeed, add_seed, remove_seed
from rackd.drivers.libvirt.xml import Element, attribute, text_at


def set_seed(domain: Element, marker: OwnershipMarker, seed: PreparedSeed | None) -> None:
    devices = _devices(domain)
    remove_seed(devices, marker)
    if seed is not None:
        add_seed(devices, seed)


def boot_from_disk(domain: Element, volume: str) -> None:
    """The disk with this volume boots first. Raises WrongState if the domain has no such disk."""
    disks = _devices(domain).findall("disk[@device='disk']")
    root = next((disk for disk in disks if _volume_of(disk) == volume), None)
    if root is None:
        raise WrongState(f"The guest {text_at(domain, 'name')} has no disk {volume} any more.", volume=volume)
    _reorder(domain, [root])


def disks_in(domain: Element, disks: Iterable[DiskSpec]) -> list[DiskSpec]:
    """Returns those of `disks` that the domain has."""
    names = {_volume_of(disk) for disk in _devices(domain).findall("disk[@device='disk']")}
    return [disk for disk in disks if disk.volume in names]


def boot_from_nics(domain: Element, mac_addresses: Collection[str]) -> None:
    """These NICs boot first, as after compose."""
    wanted = [address.lower() for address in mac_addresses]
    nics = {attribute(nic, "mac", "address").lower(): nic for nic in _devices(domain).findall("interface")}
    _reorder(domain, [nics[address] for address in wanted if address in nics])


def _reorder(domain: Element, first: list[Element]) -> None:
    """The other devices that can boot follow, in their order."""
    for os in domain.findall("os"):
        for boot in os.findall("boot"):  # not allowed beside the devices' own order
            os.remove(boot)
    devices = _devices(domain)
    ordered = sorted((device for device in devices if device.find("boot") is not None), key=_order)
    for device in ordered:
        for boot in device.findall("boot"):
            device.remove(boot)
    for number, device in enumerate([*first, *(one for one in ordered if one not in first)], start=1):
        ET.SubElement(device, "boot", order=str(number))


def _order(device: Element) -> int:
    return int(attribute(device, "boot", "order", "0"))


def _volume_of(disk: Element) -> str:
    return PurePosixPath(attribute(disk, "source", "file") or attribute(disk, "source", "dev")).name


def _devices(domain: Element) -> Element:
    found = domain.find("devices")
    return ET.SubElement(domain, "devices") if found is None else found
