"""A disk in domain XML: its element, its name, its place in the boot order, its removal. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from xml.etree import ElementTree as ET

from attrs import frozen

from common.device_names import block_device_name
from common.guest_spec import DiskSpec
from rackd.drivers.libvirt.definitions import boot_order
from rackd.drivers.libvirt.xml import Element, attribute


@frozen(kw_only=True)
class PreparedDisk:
    """A created volume; `block` if QEMU opens it as a block device, otherwise a file."""

    spec: DiskSpec
    path: str
    block: bool


def disk_element(disk: PreparedDisk, device: str, *, order: int | None) -> Element:
    """`order` is its place among the devices that boot; None: none of its own."""
    kind, key = ("block", "dev") if disk.block else ("file", "file")
    element = ET.Element("disk", type=kind, device="disk")
    ET.SubElement(element, "driver", name="qemu", type="raw", discard="unmap")
    ET.SubElement(element, "source", {key: disk.path})
    ET.SubElement(element, "target", dev=device, bus="virtio")
    ET.SubElement(element, "serial").text = disk.spec.serial
    if order is not None:
        ET.SubElement(element, "boot", order=str(order))
    return element


def path_of(disk: Element) -> str:
    """Returns the file or device behind a disk, "" if it has neither."""
    return attribute(disk, "source", "file") or attribute(disk, "source", "dev")


def further_disk(disk: PreparedDisk, domains: Iterable[Element]) -> Element:
    """Returns the element of a disk that is added to `domains`, the live and the persistent XML of one domain.

    Its device name is the first that is free in each. It boots last if their devices have an order of their own:
    libvirt allows no such order beside the one of `<os>`.
    """
    trees = list(domains)
    used = {target.get("dev") for tree in trees for target in tree.iterfind("devices/disk/target")}
    device = next(name for number in count() if (name := block_device_name("vd", number)) not in used)
    orders = [[int(boot.get("order", "0")) for boot in tree.iterfind("devices/*/boot")] for tree in trees]
    last = max(map(max, orders)) if orders and all(orders) else None
    return disk_element(disk, device, order=None if last is None else last + 1)


def remove_disk(domain: Element, disk: Element) -> None:
    """If no disk has a place in the boot order any more, the first that is left takes the place of `disk`."""
    devices = domain.find("devices")
    if devices is None:
        return
    has_order = disk.find("boot") is not None
    ordered = boot_order.devices(domain)
    devices.remove(disk)
    if not has_order:
        return
    place = ordered.index(disk)
    left = [device for device in ordered if device is not disk]
    if not any(map(boot_order.is_disk, left)):
        left[place:place] = [one for one in devices.iterfind("disk") if boot_order.is_disk(one)][:1]
    boot_order.write(domain, left)
