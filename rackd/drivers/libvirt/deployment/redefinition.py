"""Changes a domain's definition for a deployment: the seed drive, and which device boots first. Pure.

Everything else stays as it is, with UUID, MAC addresses, metadata and what an administrator changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from common.errors import WrongState
from common.guests.guest_spec import DiskSpec
from common.values import OwnershipMarker
from rackd.drivers.libvirt.definitions import boot_order
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


def boot_from_nics(domain: Element, mac_addresses: Collection[str], volume: str) -> None:
    """These NICs boot first, then the disk with this volume, as after compose."""
    wanted = [address.lower() for address in mac_addresses]
    nics = {attribute(nic, "mac", "address").lower(): nic for nic in _devices(domain).findall("interface")}
    disks = [disk for disk in _devices(domain).findall("disk[@device='disk']") if _volume_of(disk) == volume]
    _reorder(domain, [*(nics[address] for address in wanted if address in nics), *disks])


def _reorder(domain: Element, first: list[Element]) -> None:
    """The other devices that can boot follow, in their order."""
    others = (device for device in boot_order.devices(domain) if device not in first)
    boot_order.write(domain, [*first, *others])


def _volume_of(disk: Element) -> str:
    return PurePosixPath(attribute(disk, "source", "file") or attribute(disk, "source", "dev")).name


def _devices(domain: Element) -> Element:
    found = domain.find("devices")
    return ET.SubElement(domain, "devices") if found is None else found
