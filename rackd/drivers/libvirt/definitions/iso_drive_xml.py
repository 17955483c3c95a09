"""The CD-ROM drive of a domain for ISO images: finds it, adds it and changes its medium. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from attrs import frozen

from common.disks.device_names import block_device_name
from common.disks.volume_names import marker_of_artifact
from rackd.drivers.libvirt.image_names import sha256_of
from rackd.drivers.libvirt.xml import Element, attribute

_PC = ("x86_64", "i686")  # every installer has a driver for their SATA drives; other machines have virtio-scsi


@frozen(kw_only=True)
class Medium:
    """A volume with an ISO image; `block` if QEMU opens it as a block device, otherwise a file."""

    path: str
    block: bool


def iso_of(domain: Element) -> str:
    """Returns the SHA-256 of the region's image in a drive, else the name of another one; empty: none."""
    names = [_name_in(drive) for drive in _drives(domain)]
    ours = (sha256 for name in names if (sha256 := sha256_of(name)))
    return next(ours, next((name for name in names if name), ""))


def is_iso(device: Element) -> bool:
    """Returns whether the device is a drive with an ISO image that is no cloud-init seed."""
    return device in _drives_of(device) and bool(_name_in(device))


def drive_with_ours(domain: Element) -> Element | None:
    """Returns the drive that has an image of the region."""
    return next((drive for drive in _drives(domain) if sha256_of(_name_in(drive))), None)


def drive_of(domain: Element) -> Element | None:
    """Returns the drive that has an image of the region, else an empty one."""
    ours = drive_with_ours(domain)
    return ours if ours is not None else next((drive for drive in _drives(domain) if not _name_in(drive)), None)


def add_drive(domain: Element) -> Element:
    """Adds an empty drive, and for virtio-scsi its controller unless there is one."""
    devices = domain.find("devices")
    if devices is None:
        devices = ET.SubElement(domain, "devices")
    is_pc = attribute(domain, "os/type", "arch") in _PC
    if not is_pc and devices.find("controller[@model='virtio-scsi']") is None:
        ET.SubElement(devices, "controller", type="scsi", model="virtio-scsi")
    taken = {target.get("dev") for target in devices.iterfind("disk/target")}
    name = next(
        one for one in (block_device_name("sd", number) for number in range(len(taken) + 1)) if one not in taken
    )
    drive = ET.SubElement(devices, "disk", type="file", device="cdrom")
    ET.SubElement(drive, "driver", name="qemu", type="raw")
    ET.SubElement(drive, "target", dev=name, bus="sata" if is_pc else "scsi")
    ET.SubElement(drive, "readonly")
    return drive


def set_medium(drive: Element, medium: Medium | None) -> bool:
    """Puts the medium into the drive, or takes the present one out. Returns whether anything changed."""
    key = "dev" if medium is not None and medium.block else "file"
    if medium is not None and attribute(drive, "source", key) == medium.path:
        return False
    found = [one for tag in ("source", "backingStore") for one in drive.findall(tag)]
    for one in found:
        drive.remove(one)
    if medium is None:
        return bool(found)
    drive.set("type", "block" if medium.block else "file")
    ET.SubElement(drive, "source", {key: medium.path})
    return True


def _drives(domain: Element) -> list[Element]:
    return [drive for disk in domain.iterfind("devices/disk") for drive in _drives_of(disk)]


def _drives_of(device: Element) -> list[Element]:
    """Returns the device if it is a drive that has no cloud-init seed."""
    is_drive = device.tag == "disk" and device.get("device") == "cdrom"
    return [device] if is_drive and marker_of_artifact(_name_in(device)) is None else []


def _name_in(drive: Element) -> str:
    keys = ("file", "dev", "volume")
    return PurePosixPath(next((path for key in keys if (path := attribute(drive, "source", key))), "")).name
