"""Disks in a domain's XML: builds, finds and removes them. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from attrs import frozen

from common.disks.device_names import block_device_name
from common.errors import InvalidRequest
from common.guests.guest_spec import DiskSpec
from rackd.drivers.libvirt.definitions import boot_order
from rackd.drivers.libvirt.xml import Element, attribute

MAXIMUM_DISKS = 26 * 27  # vda … vdzz

_SERIAL = re.compile(r"[A-Za-z0-9_.+-]{1,20}", re.ASCII)


@frozen(kw_only=True)
class PreparedDisk:
    """A volume; `block` if QEMU opens it as a block device, otherwise a file."""

    spec: DiskSpec
    path: str
    block: bool
    format: str = "raw"


def check_serial(serial: str) -> None:
    """Raises InvalidRequest for one that QEMU would shorten or refuse."""
    if _SERIAL.fullmatch(serial) is None:
        raise InvalidRequest(f"Invalid disk serial {serial!r}: use 1 to 20 letters, digits, '.', '_', '+' and '-'.")


def disk_element(disk: PreparedDisk, target: str, *, order: int | None = None) -> Element:
    """Returns a virtio disk. A raw one stays raw, whatever its guest has written at its beginning."""
    kind, key = ("block", "dev") if disk.block else ("file", "file")
    element = ET.Element("disk", type=kind, device="disk")
    ET.SubElement(element, "driver", name="qemu", type=disk.format, discard="unmap")
    ET.SubElement(element, "source", {key: disk.path})
    ET.SubElement(element, "target", dev=target, bus="virtio")
    ET.SubElement(element, "serial").text = disk.spec.serial
    if order is not None:
        ET.SubElement(element, "boot", order=str(order))
    return element


def path_of(disk: Element) -> str:
    """Returns its file or device, "" if it has neither."""
    return attribute(disk, "source", "file") or attribute(disk, "source", "dev")


def pool_volume_of(disk: Element) -> tuple[str, str] | None:
    """Returns the names of storage pool and volume of a disk that is defined by them (`type='volume'`)."""
    pool, volume = attribute(disk, "source", "pool"), attribute(disk, "source", "volume")
    return (pool, volume) if disk.get("type") == "volume" and pool and volume else None


def normalised(path: str) -> str:
    """Returns the path without `..` and doubled slashes, as its text has it: a symbolic link in it is not followed."""
    normal = posixpath.normpath(path) if path else ""
    return normal.removeprefix("/") if normal.startswith("//") else normal  # POSIX keeps exactly two at the start


def set_source(disk: Element, path: str, *, block: bool) -> None:
    """Gives a disk or drive another volume; its format, serial, device name and place in the boot order stay."""
    kind, key = ("block", "dev") if block else ("file", "file")
    disk.set("type", kind)
    for old in (*disk.findall("source"), *disk.findall("backingStore")):
        disk.remove(old)
    driver = disk.find("driver")
    disk.insert(0 if driver is None else list(disk).index(driver) + 1, ET.Element("source", {key: path}))


def set_raw_source(disk: Element, path: str, *, block: bool) -> None:
    """Does the same with a raw volume; what its driver has for images goes."""
    set_source(disk, path, block=block)
    for driver in disk.findall("driver"):
        driver.set("type", "raw")
        driver.attrib.pop("discard_no_unref", None)
        for cache in driver.findall("metadata_cache"):
            driver.remove(cache)


def format_of(disk: Element) -> str:
    return attribute(disk, "driver", "type", "raw")  # libvirt never guesses it


def free_target(domains: Iterable[Element]) -> str | None:
    """Returns the first device name that no disk or drive has in any of them; None if all are taken."""
    taken = {attribute(disk, "target", "dev") for domain in domains for disk in domain.iterfind("devices/disk")}
    names = (block_device_name("vd", number) for number in range(MAXIMUM_DISKS))
    return next((name for name in names if name not in taken), None)


def add_disk(domain: Element, disk: Element) -> None:
    devices = domain.find("devices")
    (ET.SubElement(domain, "devices") if devices is None else devices).append(disk)


def remove_disk(domain: Element, disk: Element) -> None:
    """The other devices that have an order of their own boot in that order."""
    for devices in domain.findall("devices"):
        devices.remove(disk)
    if domain.find("devices/*/boot") is not None:
        boot_order.write(domain, boot_order.devices(domain))


def overlay_on(domain: Element, volume: str) -> str | None:
    """Returns the file or device of the disk that is a layer on top of an image of this name; None without one."""
    for disk in domain.iterfind("devices/disk"):
        for source in disk.iterfind(".//backingStore/source"):
            names = {PurePosixPath(source.get(key, "")).name for key in ("file", "dev", "volume")}
            if volume in names:
                return path_of(disk)
    return None
