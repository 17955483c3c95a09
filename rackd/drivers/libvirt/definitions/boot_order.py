"""The devices from which a domain boots, in their order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from common.boot import BootDevice, BootOrder, begins_with, completed
from rackd.drivers.libvirt.definitions.iso_drive_xml import is_iso
from rackd.drivers.libvirt.xml import Element, attribute

_FIRST_DISK = "hd"  # of `<os><boot dev>`; also what a domain without any order boots from
_PATHS = {
    _FIRST_DISK: "devices/disk",
    "cdrom": "devices/disk[@device='cdrom']",
    "fd": "devices/disk[@device='floppy']",
    "network": "devices/interface",
}


def devices(domain: Element) -> list[Element]:
    """Returns the devices with an order of their own; without any, those of the kinds that `<os>` names."""
    ordered = [device for device in domain.iterfind("devices/*") if device.find("boot") is not None]
    if ordered:
        return sorted(ordered, key=lambda device: int(attribute(device, "boot", "order", "0")))
    kinds = [boot.get("dev", "") for boot in domain.iterfind("os/boot")] or [_FIRST_DISK]
    return [
        device
        for kind in kinds
        if kind in _PATHS
        for device in domain.iterfind(_PATHS[kind])
        if kind != _FIRST_DISK or is_disk(device)
    ]


def write(domain: Element, ordered: Iterable[Element]) -> None:
    """Gives the devices an order of their own, beside which libvirt allows none in `<os>`."""
    for os in domain.findall("os"):
        for boot in os.findall("boot"):
            os.remove(boot)
    for device in domain.iterfind("devices/*"):
        for boot in device.findall("boot"):
            device.remove(boot)
    for number, device in enumerate(ordered, start=1):
        ET.SubElement(device, "boot", order=str(number))


def first_disk(domain: Element) -> str | None:
    """Returns the device name of the disk that boots first; None if no disk boots."""
    found = next((device for device in devices(domain) if is_disk(device)), None)
    return None if found is None else attribute(found, "target", "dev")


def put_first(domain: Element, disk: Element) -> bool:
    """Gives `disk` the place of the disk that boots first. Returns whether anything changed."""
    ordered = devices(domain)
    place = next((number for number, device in enumerate(ordered) if is_disk(device)), len(ordered))
    if ordered[place : place + 1] == [disk]:
        return False
    others = [device for device in ordered if device is not disk]
    write(domain, [*others[:place], disk, *others[place:]])
    return True


def kinds(domain: Element) -> BootOrder:
    """Returns the kinds of devices from which the domain boots, in the order in which it tries the first of each."""
    return tuple(dict.fromkeys(kind for device in devices(domain) if (kind := _kind_of(device)) is not None))


def missing(domain: Element, order: Iterable[BootDevice]) -> list[BootDevice]:
    """Returns the kinds of which the domain has no device."""
    has = {_kind_of(device) for device in domain.iterfind("devices/*")}
    return [kind for kind in order if kind not in has]


def put_kinds_first(domain: Element, order: BootOrder) -> bool:
    """Gives the devices of these kinds the first places, in their order. Returns whether anything changed.

    A kind from which the domain does not boot until now gets all its devices. What the domain boots from besides, such
    as a drive for CDs, follows.
    """
    present = kinds(domain)
    if begins_with(present, order):
        return False
    before = devices(domain)
    wanted = completed(order, present)
    found = {kind: [one for one in before if _kind_of(one) is kind] for kind in wanted}
    for kind, ordered in found.items():
        ordered.extend(() if ordered else (one for one in domain.iterfind("devices/*") if _kind_of(one) is kind))
    write(domain, [*(one for kind in wanted for one in found[kind]), *(one for one in before if not _kind_of(one))])
    return True


def boots_from_devices(domain: Element) -> bool:
    """Returns False for a domain whose host gives it a kernel, or that a boot loader of the host starts."""
    return domain.find("os/kernel") is None and domain.find("bootloader") is None


def _kind_of(device: Element) -> BootDevice | None:
    if is_disk(device):
        return BootDevice.DISK
    if is_iso(device):
        return BootDevice.ISO
    return BootDevice.NETWORK if device.tag == "interface" else None


def is_disk(device: Element) -> bool:
    """Returns False for the drives of CDs and floppies."""
    return device.tag == "disk" and device.get("device", "disk") in {"disk", "lun"}
