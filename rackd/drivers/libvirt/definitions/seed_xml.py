"""The CD-ROM drive with a guest's cloud-init seed: adds it to a domain's devices, finds and removes it."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from attrs import frozen

from common.disks.device_names import block_device_name
from common.disks.volume_names import seed_name
from common.values import OwnershipMarker
from rackd.drivers.libvirt.xml import Element, attribute

# The kernels of cloud images support virtio-scsi; Debian's has no driver for SATA. A virtio disk could take the name of
# the root disk in the guest.
_CONTROLLER = "virtio-scsi"


@frozen(kw_only=True)
class PreparedSeed:
    """A created cloud-init seed image; `block` if QEMU opens it as a block device, otherwise a file."""

    path: str
    block: bool


def add_seed(devices: Element, seed: PreparedSeed) -> None:
    """Adds a drive that is never booted, with its controller unless the domain has one."""
    controller = _controller(devices)
    kind, key = ("block", "dev") if seed.block else ("file", "file")
    drive = ET.SubElement(devices, "disk", type=kind, device="cdrom")
    ET.SubElement(drive, "driver", name="qemu", type="raw")
    ET.SubElement(drive, "source", {key: seed.path})
    ET.SubElement(drive, "target", dev=_free_device(devices), bus="scsi")
    ET.SubElement(drive, "readonly")
    ET.SubElement(drive, "address", type="drive", controller=controller, bus="0", target="0", unit=_free_unit(devices))


def remove_seed(devices: Element, marker: OwnershipMarker) -> None:
    """Removes the drives with the seed of this marker; the controller stays."""
    name = seed_name(marker)
    for drive in devices.findall("disk"):
        path = attribute(drive, "source", "file") or attribute(drive, "source", "dev")
        if PurePosixPath(path).name == name:
            devices.remove(drive)


def _controller(devices: Element) -> str:
    """Returns the index of the virtio-scsi controller, which is added if there is none."""
    controllers = devices.findall("controller[@type='scsi']")
    for controller in controllers:
        if controller.get("model") == _CONTROLLER:
            return controller.get("index", "0")
    index = str(1 + max((int(one.get("index", "0")) for one in controllers), default=-1))
    ET.SubElement(devices, "controller", type="scsi", index=index, model=_CONTROLLER)
    return index


def _free_device(devices: Element) -> str:
    taken = {target.get("dev") for target in devices.iterfind("disk/target")}
    numbers = range(len(taken) + 1)
    return next(name for name in (block_device_name("sd", number) for number in numbers) if name not in taken)


def _free_unit(devices: Element) -> str:
    taken = {address.get("unit") for address in devices.iterfind("disk/address[@type='drive']")}
    return next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)
