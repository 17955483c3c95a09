"""A GuestSpec becomes libvirt's XML, built as trees. Pure, and checked: what XML or libvirt cannot hold is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from attrs import field, frozen

from common.drive_names import drive_name
from common.errors import InvalidRequest, Unsupported
from common.marks import mark_of_volume
from common.values import DiskSpec, GuestSpec, Mark
from rackd.drivers.libvirt.addresses import Reservation, check_addresses, written
from rackd.drivers.libvirt.cpu import add_cpu, check_cpu
from rackd.drivers.libvirt.facts import HostTraits
from rackd.drivers.libvirt.guests import MARK_NAMESPACE
from rackd.drivers.libvirt.nics import Function, check_nic, nic_element
from rackd.drivers.libvirt.trees import Element, parse

MIB = 1024 * 1024
MAXIMUM_DISKS = 26 * 27  # vda … vdzz

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_SERIAL = re.compile(r"[A-Za-z0-9_.+-]{1,20}", re.ASCII)
_NOT_IN_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

ET.register_namespace("innkeeper", MARK_NAMESPACE)


@frozen(kw_only=True)
class MadeDisk:
    """A volume that is there, and what QEMU opens: `block` for a device, otherwise a file."""

    spec: DiskSpec
    path: str
    block: bool


@frozen(kw_only=True)
class MadeSeed:
    """The image for cloud-init that is there."""

    path: str
    block: bool


@frozen(kw_only=True)
class Made:
    """What was made or chosen for a guest before its definition. `functions` are those of cards that take one, by
    MAC address."""

    disks: tuple[MadeDisk, ...]
    seed: MadeSeed | None = None
    functions: Mapping[str, Function] = field(factory=dict)
    reservations: tuple[Reservation, ...] = ()


@frozen(kw_only=True)
class Offer:
    """What the host's emulator has for guests, of the things a definition would use."""

    cpu_mode: str | None = None
    vnc: bool = False
    video: str | None = None
    firmware_efi: bool = False
    random: bool = False

    @classmethod
    def of(cls, domain_capabilities: str | None, traits: HostTraits) -> Offer:
        """From libvirt's domainCapabilities; without them (the test driver) nothing beyond the plain is used."""
        if domain_capabilities is None:
            return cls()
        tree = parse(domain_capabilities, "what guests may have")
        modes = {mode.get("name") for mode in tree.iterfind("cpu/mode") if mode.get("supported") == "yes"}
        wanted = "maximum" if traits.emulated else "host-passthrough"
        videos = _values(tree, "devices/video", "modelType")
        return cls(
            cpu_mode=wanted if wanted in modes else None,
            vnc="vnc" in _values(tree, "devices/graphics", "type"),
            video=next((model for model in _videos(traits) if model in videos), None),
            firmware_efi="efi" in _values(tree, "os", "firmware"),
            random="random" in _values(tree, "devices/rng", "backendModel"),
        )


def _values(tree: Element, path: str, enum: str) -> set[str]:
    return {value.text or "" for value in tree.iterfind(f"{path}/enum[@name='{enum}']/value")}


def _videos(traits: HostTraits) -> tuple[str, ...]:
    return ("vga", "virtio") if traits.architecture in {"amd64", "i386"} else ("virtio",)


def check(spec: GuestSpec, traits: HostTraits) -> None:
    """InvalidRequest or Unsupported when no definition of `spec` could work on this host; before anything is made."""
    if spec.architecture != traits.architecture:
        raise Unsupported(f"The host runs {traits.architecture} guests, not {spec.architecture}.")
    if _NAME.fullmatch(spec.name) is None:
        raise InvalidRequest(
            f"{spec.name!r} cannot be a guest's name: letters, digits, '.', '_' and '-', 1 to 63, not first a sign."
        )
    if not 1 <= len(spec.disks) <= MAXIMUM_DISKS:
        raise InvalidRequest(f"A guest on libvirt has 1 to {MAXIMUM_DISKS} disks, not {len(spec.disks)}.")
    for disk in spec.disks:
        if mark_of_volume(disk.volume) != spec.mark:
            raise InvalidRequest(f"The volume {disk.volume!r} is not named after the mark of the guest it is made for.")
        if _SERIAL.fullmatch(disk.serial) is None:
            raise InvalidRequest(f"{disk.serial!r} cannot be a serial: 1 to 20 letters, digits, '.', '_', '+', '-'.")
    for nic in spec.nics:
        check_nic(nic)
    check_addresses(spec)
    check_cpu(spec)


def volume_xml(disk: DiskSpec, pool_type: str) -> str:
    """Raw; sparse in a folder and in ZFS (whole MiB, as ZFS needs), fully allocated in LVM."""
    return _volume(disk.volume, disk.size_bytes, pool_type)


def _volume(name: str, size_bytes: int, pool_type: str) -> str:
    size = -(-size_bytes // MIB) * MIB if pool_type == "zfs" else size_bytes
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(size)
    ET.SubElement(volume, "allocation", unit="bytes").text = str(size if pool_type == "logical" else 0)
    if pool_type == "dir":
        ET.SubElement(ET.SubElement(volume, "target"), "format", type="raw")
    return ET.tostring(volume, encoding="unicode")


def seed_volume_xml(name: str, size_bytes: int, pool_type: str) -> str:
    """The volume of an image for cloud-init."""
    return _volume(name, size_bytes, pool_type)


def domain_xml(spec: GuestSpec, made: Made, traits: HostTraits, offer: Offer) -> str:
    """The domain of `spec`, whose id is the machine's. Call `check` before."""
    domain = ET.Element("domain", type=traits.domain_type)
    ET.SubElement(domain, "name").text = spec.name
    ET.SubElement(domain, "uuid").text = str(spec.mark.machine_id)
    if spec.description:
        ET.SubElement(domain, "description").text = _NOT_IN_XML.sub(" ", spec.description)
    domain.append(_metadata(spec, made))
    add_cpu(domain, spec)
    domain.append(_os(traits, offer))
    if traits.domain_type != "test":
        _add_machine(domain, traits, offer)
    ET.SubElement(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "restart")):
        ET.SubElement(domain, f"on_{event}").text = action
    domain.append(_devices(spec, made, traits, offer))
    return ET.tostring(domain, encoding="unicode")


def _metadata(spec: GuestSpec, made: Made) -> Element:
    """The mark, and in it what of the host was made or chosen for the guest alone and its devices do not tell."""
    metadata = ET.Element("metadata")
    mark = ET.SubElement(metadata, f"{{{MARK_NAMESPACE}}}mark", _mark_attributes(spec.mark))
    for reservation in made.reservations:
        ET.SubElement(mark, f"{{{MARK_NAMESPACE}}}reservation", dict(written(reservation)))
    for nic in spec.nics:
        if nic.mac_address in made.functions:
            port = {"mac": nic.mac_address.lower(), "port": nic.source}
            ET.SubElement(mark, f"{{{MARK_NAMESPACE}}}function", port)
    return metadata


def _mark_attributes(mark: Mark) -> dict[str, str]:
    return {"installation": str(mark.installation_id), "machine": str(mark.machine_id)}


def mark_element(mark: Mark) -> str:
    """What setMetadata takes: libvirt itself puts it into the namespace."""
    return ET.tostring(ET.Element("mark", _mark_attributes(mark)), encoding="unicode")


def _os(traits: HostTraits, offer: Offer) -> Element:
    efi = traits.architecture in {"arm64", "riscv64"} and offer.firmware_efi
    os = ET.Element("os", {"firmware": "efi"} if efi else {})
    kind = ET.SubElement(os, "type")
    kind.text = "hvm"
    if traits.domain_type != "test":  # whose capabilities do not know the architecture it tells
        kind.set("arch", traits.kernel_architecture)
    if traits.architecture == "arm64":
        kind.set("machine", "virt")
    return os


def _add_machine(domain: Element, traits: HostTraits, offer: Offer) -> None:
    if traits.architecture in {"amd64", "i386"}:
        features = ET.SubElement(domain, "features")
        ET.SubElement(features, "acpi")
        ET.SubElement(features, "apic")
        power = ET.SubElement(domain, "pm")
        ET.SubElement(power, "suspend-to-mem", enabled="no")
        ET.SubElement(power, "suspend-to-disk", enabled="no")
    elif traits.architecture == "arm64":
        ET.SubElement(ET.SubElement(domain, "features"), "acpi")
    if offer.cpu_mode is not None:
        ET.SubElement(domain, "cpu", mode=offer.cpu_mode)


def _devices(spec: GuestSpec, made: Made, traits: HostTraits, offer: Offer) -> Element:
    devices = ET.Element("devices")
    first_nics = [nic for nic in spec.nics if nic.boot]
    for number, disk in enumerate(made.disks):
        devices.append(_disk(disk, number, boot_order=len(first_nics) + number + 1))
    if made.seed is not None:
        _add_seed(devices, made.seed, traits)
    for nic in spec.nics:
        boot_order = first_nics.index(nic) + 1 if nic.boot else None
        devices.append(nic_element(nic, made.functions.get(nic.mac_address), boot_order=boot_order))
    if traits.domain_type != "test":
        _add_console(devices, spec, traits, offer)
    return devices


def _disk(disk: MadeDisk, number: int, *, boot_order: int) -> Element:
    kind, key = ("block", "dev") if disk.block else ("file", "file")
    element = ET.Element("disk", type=kind, device="disk")
    ET.SubElement(element, "driver", name="qemu", type="raw", discard="unmap")
    ET.SubElement(element, "source", {key: disk.path})
    ET.SubElement(element, "target", dev=drive_name("vd", number), bus="virtio")
    ET.SubElement(element, "serial").text = disk.spec.serial
    ET.SubElement(element, "boot", order=str(boot_order))
    return element


def _add_seed(devices: Element, seed: MadeSeed, traits: HostTraits) -> None:
    """A CD that is never booted from, on a bus that the machine types of that architecture have or can be given."""
    bus = "sata" if traits.architecture in {"amd64", "i386"} else "scsi"
    if bus == "scsi":
        ET.SubElement(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    kind, key = ("block", "dev") if seed.block else ("file", "file")
    element = ET.SubElement(devices, "disk", type=kind, device="cdrom")
    ET.SubElement(element, "driver", name="qemu", type="raw")
    ET.SubElement(element, "source", {key: seed.path})
    ET.SubElement(element, "target", dev="sda", bus=bus)
    ET.SubElement(element, "readonly")


def _add_console(devices: Element, spec: GuestSpec, traits: HostTraits, offer: Offer) -> None:
    """A serial console, logged where libvirt keeps its own logs; a screen for those who come over the host itself."""
    if traits.architecture == "s390x":
        console = ET.SubElement(devices, "console", type="pty")
        ET.SubElement(console, "target", type="sclp", port="0")
    else:
        console = ET.SubElement(devices, "serial", type="pty")
        ET.SubElement(console, "target", port="0")
    if traits.privileged:
        ET.SubElement(console, "log", file=f"/var/log/libvirt/qemu/{spec.name}-serial0.log", append="off")
    if offer.vnc and offer.video is not None:
        ET.SubElement(devices, "graphics", type="vnc", port="-1", autoport="yes", listen="127.0.0.1")
        ET.SubElement(ET.SubElement(devices, "video"), "model", type=offer.video)
    if traits.architecture in {"arm64", "ppc64el", "s390x"} and offer.video is not None:
        ET.SubElement(devices, "input", type="keyboard", bus="virtio")
    if offer.random:
        ET.SubElement(ET.SubElement(devices, "rng", model="virtio"), "backend", model="random").text = "/dev/urandom"
