"""Builds domain and volume XML from a GuestSpec, after checking it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from attrs import field, frozen

from common.disks.device_names import block_device_name
from common.disks.volume_names import marker_of_volume
from common.errors import InvalidRequest, Unsupported
from common.guests.guest_spec import GuestSpec
from rackd.drivers.libvirt.addresses.delivery import Reservation, check_addresses
from rackd.drivers.libvirt.definitions import memory_device_xml
from rackd.drivers.libvirt.definitions.cpu_xml import add_cpu, check_cpu, most_cores
from rackd.drivers.libvirt.definitions.disk_xml import MAXIMUM_DISKS, PreparedDisk, check_serial, disk_element
from rackd.drivers.libvirt.definitions.domain_config import AGENT_CHANNEL
from rackd.drivers.libvirt.definitions.firmware_xml import require_secure_boot, require_uefi
from rackd.drivers.libvirt.definitions.host_traits import HostTraits
from rackd.drivers.libvirt.definitions.metadata import metadata_element
from rackd.drivers.libvirt.definitions.nic_xml import VirtualFunction, check_nic, nic_element
from rackd.drivers.libvirt.definitions.pool_types import FOLDER_TYPES
from rackd.drivers.libvirt.definitions.seed_xml import PreparedSeed, add_seed
from rackd.drivers.libvirt.xml import Element, attribute, parse

MIB = 1024 * 1024
MEMORY_REPORT_S = 10  # as often as a rack reads it
SPARE_PORTS = 8  # for disks that a running guest gets

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_PCIE_MACHINE = "virt"
_CLIPBOARD = "qemu-vdagent"
_SECURE_MACHINE = "q35"  # of PCs; only this one has firmware with Secure Boot
_FIXED_DEVICES = 8  # no more than what libvirt and `_devices` give a guest beside its disks and NICs
_NOT_IN_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@frozen(kw_only=True)
class PreparedResources:
    """The resources created or chosen for a guest before its domain is defined. `functions` is keyed by MAC address.

    `serial_log` is the path of a file for the output of its serial port.
    """

    disks: tuple[PreparedDisk, ...]
    seed: PreparedSeed | None = None
    functions: Mapping[str, VirtualFunction] = field(factory=dict)
    reservations: tuple[Reservation, ...] = ()
    serial_log: str | None = None


@frozen(kw_only=True)
class DomainCapabilities:
    """The features of the host's emulator that domain XML uses."""

    cpu_mode: str | None = None
    vnc: bool = False
    clipboard: bool = False
    video: str | None = None
    firmware_efi: bool = False
    random: bool = False
    tpm: bool = False
    maximum_cores: int | None = None

    @classmethod
    def of(cls, domain_capabilities: str | None, traits: HostTraits) -> DomainCapabilities:
        """Parses libvirt's domainCapabilities. None (the test driver) means no optional devices."""
        if domain_capabilities is None:
            return cls()
        tree = parse(domain_capabilities, "what guests may have")
        modes = {mode.get("name") for mode in tree.iterfind("cpu/mode") if mode.get("supported") == "yes"}
        wanted = "maximum" if traits.emulated else "host-passthrough"
        maximum = attribute(tree, "vcpu", "max")
        videos = _values(tree, "devices/video", "modelType")
        return cls(
            cpu_mode=wanted if wanted in modes else None,
            vnc="vnc" in _values(tree, "devices/graphics", "type"),
            clipboard=_CLIPBOARD in _values(tree, "devices/channel", "type"),
            video=next((model for model in _videos(traits) if model in videos), None),
            firmware_efi="efi" in _values(tree, "os", "firmware"),
            tpm="emulator" in _values(tree, "devices/tpm", "backendModel"),
            random="random" in _values(tree, "devices/rng", "backendModel"),
            maximum_cores=int(maximum) if maximum.isdecimal() else None,
        )


def _values(tree: Element, path: str, enum: str) -> set[str]:
    return {value.text or "" for value in tree.iterfind(f"{path}/enum[@name='{enum}']/value")}


def _videos(traits: HostTraits) -> tuple[str, ...]:
    return ("vga", "virtio") if traits.architecture in {"amd64", "i386"} else ("virtio",)


def check(spec: GuestSpec, traits: HostTraits) -> None:
    """Raises InvalidRequest or Unsupported if no domain for `spec` can work on this host. Call it first."""
    if spec.architecture != traits.architecture:
        raise Unsupported(f"The host runs {traits.architecture} guests; {spec.name} needs {spec.architecture}.")
    if _NAME.fullmatch(spec.name) is None:
        raise InvalidRequest(
            f"Invalid guest name {spec.name!r}: use 1 to 63 letters, digits, '.', '_' and '-', first a letter or digit."
        )
    if not 1 <= len(spec.disks) <= MAXIMUM_DISKS:
        raise InvalidRequest(f"{spec.name} has {len(spec.disks)} disks; a libvirt guest has 1 to {MAXIMUM_DISKS}.")
    for disk in spec.disks:
        if marker_of_volume(disk.volume) != spec.marker:
            raise InvalidRequest(f"The volume {disk.volume!r} is not named after the marker of its guest.")
        check_serial(disk.serial)
    for nic in spec.nics:
        check_nic(nic)
    check_addresses(spec.nics)
    check_cpu(spec)


def check_firmware(spec: GuestSpec, traits: HostTraits, capabilities: DomainCapabilities) -> None:
    """Raises Unsupported for UEFI, Secure Boot or a TPM that the host does not have."""
    if spec.secure_boot and traits.architecture != "amd64":
        raise Unsupported(f"{spec.name} needs Secure Boot, which libvirt hosts have for amd64 only.")
    if (spec.uefi or spec.secure_boot) and not capabilities.firmware_efi:
        raise Unsupported(
            f"{spec.name} needs {'Secure Boot' if spec.secure_boot else 'UEFI'}: the host has no firmware for it. On "
            "that host: apt install ovmf (or the package edk2-ovmf of its distribution)."
        )
    if spec.tpm and not capabilities.tpm:
        raise Unsupported(
            f"{spec.name} needs a TPM, which the host cannot emulate. On that host: apt install swtpm swtpm-tools."
        )


def volume_xml(name: str, size_bytes: int, pool_type: str) -> str:
    """Returns a raw volume: sparse in a folder or ZFS (whole MiB, as ZFS requires), fully allocated in LVM."""
    size = -(-size_bytes // MIB) * MIB if pool_type == "zfs" else size_bytes
    volume = ET.Element("volume")
    ET.SubElement(volume, "name").text = name
    ET.SubElement(volume, "capacity", unit="bytes").text = str(size)
    ET.SubElement(volume, "allocation", unit="bytes").text = str(size if pool_type == "logical" else 0)
    if pool_type in FOLDER_TYPES:
        ET.SubElement(ET.SubElement(volume, "target"), "format", type="raw")
    return ET.tostring(volume, encoding="unicode")


def domain_xml(
    spec: GuestSpec, prepared: PreparedResources, traits: HostTraits, capabilities: DomainCapabilities
) -> str:
    """Returns the XML of a domain whose UUID is the machine id. Call `check` first."""
    domain = ET.Element("domain", type=traits.domain_type)
    ET.SubElement(domain, "name").text = spec.name
    ET.SubElement(domain, "uuid").text = str(spec.marker.machine_id)
    if spec.description:
        ET.SubElement(domain, "description").text = _NOT_IN_XML.sub(" ", spec.description)
    domain.append(metadata_element(spec, prepared.reservations, prepared.functions))
    add_cpu(domain, spec)
    domain.append(_os(spec, traits, capabilities))
    if traits.domain_type != "test":
        _add_machine(domain, spec, traits, capabilities)
    memory_device_xml.prepare_cell(domain, most_cores(spec), spec.memory_mib, spec.max_memory_mib)
    ET.SubElement(domain, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "restart")):
        ET.SubElement(domain, f"on_{event}").text = action
    domain.append(_devices(spec, prepared, traits, capabilities))
    memory_device_xml.add_device(domain, spec.memory_mib, spec.max_memory_mib)
    return ET.tostring(domain, encoding="unicode")


def _os(spec: GuestSpec, traits: HostTraits, capabilities: DomainCapabilities) -> Element:
    efi = traits.architecture in {"arm64", "riscv64"} and capabilities.firmware_efi
    os = ET.Element("os", {"firmware": "efi"} if efi else {})
    if spec.secure_boot:
        require_secure_boot(os)
    elif spec.uefi and not efi:
        require_uefi(os)
    kind = ET.SubElement(os, "type")
    kind.text = "hvm"
    if traits.domain_type != "test":  # the test driver's capabilities lack the architecture that it reports
        kind.set("arch", traits.kernel_architecture)
    machine = _machine(spec, traits)
    if machine is not None:
        kind.set("machine", machine)
    return os


def _machine(spec: GuestSpec, traits: HostTraits) -> str | None:
    """None: the emulator's default, for amd64 a machine on whose PCI bus a running guest gets devices."""
    if spec.secure_boot and traits.architecture == "amd64":
        return _SECURE_MACHINE
    return _PCIE_MACHINE if traits.architecture == "arm64" else None


def _add_machine(domain: Element, spec: GuestSpec, traits: HostTraits, capabilities: DomainCapabilities) -> None:
    if traits.architecture in {"amd64", "i386"}:
        features = ET.SubElement(domain, "features")
        ET.SubElement(features, "acpi")
        ET.SubElement(features, "apic")
        if spec.secure_boot:
            ET.SubElement(features, "smm", state="on")  # protects the variables of the firmware from the system
        power = ET.SubElement(domain, "pm")
        ET.SubElement(power, "suspend-to-mem", enabled="no")
        ET.SubElement(power, "suspend-to-disk", enabled="no")
    elif traits.architecture == "arm64":
        ET.SubElement(ET.SubElement(domain, "features"), "acpi")
    if capabilities.cpu_mode is not None:
        ET.SubElement(domain, "cpu", mode=capabilities.cpu_mode)


def _devices(
    spec: GuestSpec, prepared: PreparedResources, traits: HostTraits, capabilities: DomainCapabilities
) -> Element:
    devices = ET.Element("devices")
    first_nics = [nic for nic in spec.nics if nic.boot]
    for number, disk in enumerate(prepared.disks):
        target = block_device_name("vd", number)
        devices.append(disk_element(disk, target, order=len(first_nics) + number + 1))
    if prepared.seed is not None:
        add_seed(devices, prepared.seed)
    for nic in spec.nics:
        boot_order = first_nics.index(nic) + 1 if nic.boot else None
        devices.append(nic_element(nic, prepared.functions.get(nic.mac_address), boot_order=boot_order))
    if traits.domain_type != "test":
        _add_console(devices, prepared, traits, capabilities)
        _add_agent_channel(devices)
        _add_balloon(devices)
        if spec.tpm:
            tpm = ET.SubElement(devices, "tpm", model="tpm-crb" if traits.architecture == "amd64" else "tpm-tis")
            ET.SubElement(tpm, "backend", type="emulator", version="2.0")
        if _machine(spec, traits) in {_PCIE_MACHINE, _SECURE_MACHINE}:
            _add_ports(devices, len(prepared.disks) + len(spec.nics) + _FIXED_DEVICES + SPARE_PORTS)
    return devices


def _add_ports(devices: Element, count: int) -> None:
    """Adds PCIe ports. libvirt gives a guest as many as its devices need, and a running one gets no more."""
    ET.SubElement(devices, "controller", type="pci", index="0", model="pcie-root")  # otherwise a port would be number 0
    for _ in range(count):
        ET.SubElement(devices, "controller", type="pci", model="pcie-root-port")


def _add_agent_channel(devices: Element) -> None:
    """Adds the channel of an agent in the guest, which reports its addresses and shuts it down on request."""
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name=AGENT_CHANNEL)


def _add_balloon(devices: Element) -> None:
    """Has the balloon driver of the guest report its memory, which the bulk read of usage then finds."""
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    ET.SubElement(balloon, "stats", period=str(MEMORY_REPORT_S))


def _add_clipboard(devices: Element) -> None:
    """Adds a channel between spice-vdagent in the guest and VNC, for a clipboard that both have."""
    channel = ET.SubElement(devices, "channel", type=_CLIPBOARD)
    ET.SubElement(ET.SubElement(channel, "source"), "clipboard", copypaste="yes")
    ET.SubElement(channel, "target", type="virtio", name="com.redhat.spice.0")


def _add_console(
    devices: Element, prepared: PreparedResources, traits: HostTraits, capabilities: DomainCapabilities
) -> None:
    """Adds a serial console, and a VNC display that listens nowhere: libvirt alone connects somebody to it."""
    if traits.architecture == "s390x":
        console = ET.SubElement(devices, "console", type="pty")
        ET.SubElement(console, "target", type="sclp", port="0")
    else:
        console = ET.SubElement(devices, "serial", type="pty")
        ET.SubElement(console, "target", port="0")
    if prepared.serial_log is not None:
        ET.SubElement(console, "log", file=prepared.serial_log, append="off")
    if capabilities.vnc and capabilities.video is not None:
        ET.SubElement(ET.SubElement(devices, "graphics", type="vnc"), "listen", type="none")
        ET.SubElement(ET.SubElement(devices, "video"), "model", type=capabilities.video)
        if capabilities.clipboard:
            _add_clipboard(devices)
    if traits.architecture in {"arm64", "ppc64el", "s390x"} and capabilities.video is not None:
        ET.SubElement(devices, "input", type="keyboard", bus="virtio")
    if capabilities.random:
        ET.SubElement(ET.SubElement(devices, "rng", model="virtio"), "backend", model="random").text = "/dev/urandom"
