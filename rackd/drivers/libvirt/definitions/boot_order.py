"""The devices from which a domain boots, in their order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

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


def is_disk(device: Element) -> bool:
    return device.tag == "disk" and device.get("device", "disk") == "disk"
