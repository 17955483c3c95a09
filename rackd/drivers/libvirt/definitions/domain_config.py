"""Reads from domain XML what statistics lack: pinned cores, huge pages, NICs and serials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from common.boot import BootOrder
from common.guest_facts import NO_SETTINGS, GuestSettings
from common.values import GuestNic, NicKind, OwnershipMarker
from rackd.drivers.architectures import debian_architecture
from rackd.drivers.libvirt.definitions.boot_order import first_disk, is_disk, kinds
from rackd.drivers.libvirt.definitions.disk_xml import pool_volume_of
from rackd.drivers.libvirt.definitions.iso_drive_xml import iso_of
from rackd.drivers.libvirt.definitions.memory_device_xml import absent_kib
from rackd.drivers.libvirt.definitions.metadata import booted_once, function_ports_in, generation_in, marker_in
from rackd.drivers.libvirt.definitions.settings import settings_of
from rackd.drivers.libvirt.definitions.vlan_xml import NO_VLANS, NetworkVlans, Vlan, vlan_in
from rackd.drivers.libvirt.definitions.volume_references import layers, names_of, references
from rackd.drivers.libvirt.xml import Element, attribute, pci_address, text_at

MOST_VIRTUAL_CORES = 65_536  # far more than any hypervisor has; a bound for what its XML can claim
AGENT_CHANNEL = "org.qemu.guest_agent.0"  # through which libvirt talks to the QEMU guest agent
_NIC_SOURCES = {
    "network": (NicKind.NETWORK, "network"),
    "bridge": (NicKind.BRIDGE, "bridge"),
    "direct": (NicKind.MACVLAN, "dev"),
    "user": (NicKind.USER, ""),
    "hostdev": (NicKind.SRIOV, ""),  # libvirt accepts only virtual functions here; the source is a PCI address
}


@frozen(kw_only=True)
class HostNics:
    """The port of each virtual function, by its PCI address or by the network that assigns it, and the VLANs of each
    network."""

    by_address: Mapping[str, str] = field(factory=dict)
    by_network: Mapping[str, str] = field(factory=dict)
    vlans: Mapping[str, NetworkVlans] = field(factory=dict)


UNKNOWN_NICS = HostNics()


@frozen(kw_only=True)
class DomainNic:
    """A NIC in domain XML. With `is_device` it is a PCI passthrough device, which may be no NIC at all.

    `vlan` is what it has itself, None without one.
    """

    mac_address: str
    kind: NicKind
    source: str = ""
    pci_address: str | None = None
    is_device: bool = False
    port_group: str = ""
    vlan: Vlan | None = None

    def resolve(self, host: HostNics) -> GuestNic | None:
        """Returns the NIC with its port if it is a virtual function; None for a device that is none."""
        kind, source = self.kind, self.source
        if kind is NicKind.NETWORK and source in host.by_network:
            kind, source = NicKind.SRIOV, host.by_network[source]
        elif kind is NicKind.SRIOV and not source and self.pci_address is not None:
            source = host.by_address.get(self.pci_address, "")
        if self.is_device and not source:
            return None
        of_network = host.vlans.get(self.source, NO_VLANS) if self.kind is NicKind.NETWORK else NO_VLANS
        vlan = self.vlan or of_network.of(self.port_group)
        has_own = self.vlan is not None or vlan != of_network.of()
        vid = vlan.vid if has_own and vlan is not None else None
        return GuestNic(mac_address=self.mac_address, kind=kind, source=source, own_vlan=has_own, vid=vid)


@frozen(kw_only=True)
class DomainConfig:
    """The live configuration of a running domain, the persistent one of a domain that is off."""

    architecture: str
    huge_pages_backed: bool
    pinned_core_ids: tuple[int, ...]
    nics: tuple[DomainNic, ...]
    serials: Mapping[str, str]  # by the disk's device name
    references: frozenset[str] = frozenset()  # as `volume_references` finds them
    layers: tuple[tuple[str, str], ...] = ()  # an image of a disk, and the one below it
    marker: OwnershipMarker | None = None
    agent_connected: bool = False
    absent_memory_kib: int = 0  # of what libvirt counts: a memory device could add it
    boot_device: str | None = None  # None: unknown while the domain runs, because the next start can be another
    boot_order: BootOrder | None = None  # as `boot_device`
    booted_once: str | None = None
    iso: str = ""
    settings: GuestSettings = NO_SETTINGS
    generation: int | None = None
    drives: frozenset[str] = frozenset()  # device names of CD and floppy drives, which are no disks
    pool_volumes: Mapping[str, tuple[str, str]] = field(factory=dict)  # pool and volume of disks defined by their names

    def nics_on(self, host: HostNics) -> tuple[GuestNic, ...]:
        return tuple(nic for nic in (one.resolve(host) for one in self.nics) if nic is not None)


def domain_config(tree: Element) -> DomainConfig:
    return DomainConfig(
        architecture=debian_architecture(attribute(tree, "os/type", "arch")),
        huge_pages_backed=tree.find("memoryBacking/hugepages") is not None,
        pinned_core_ids=_pinned(tree),
        nics=(*_nics(tree, function_ports_in(tree)), *_passthrough_devices(tree)),
        serials={
            attribute(disk, "target", "dev"): serial
            for disk in tree.iterfind("devices/disk")
            if (serial := text_at(disk, "serial"))
        },
        references=references(tree),
        layers=layers(tree),
        marker=marker_in(tree),
        agent_connected=has_connected_agent(tree),
        absent_memory_kib=absent_kib(tree),
        boot_device=None if _is_active(tree) else first_disk(tree),
        boot_order=None if _is_active(tree) else kinds(tree),
        iso=iso_of(tree),
        settings=settings_of(tree),
        booted_once=booted_once(tree) if _is_active(tree) else None,
        generation=generation_in(tree),
        drives=frozenset(attribute(one, "target", "dev") for one in tree.iterfind("devices/disk") if not is_disk(one)),
        pool_volumes=pool_volumes(tree),
    )


def pool_volumes(tree: Element) -> dict[str, tuple[str, str]]:
    """Returns storage pool and volume, by device name, of the disks that are defined by the names of both."""
    disks = ((attribute(disk, "target", "dev"), pool_volume_of(disk)) for disk in tree.iterfind("devices/disk"))
    return {device: found for device, found in disks if found is not None}


def volume_names(tree: Element) -> frozenset[str]:
    """Returns the base names of all images, backing images, devices and volumes behind disks and drives."""
    sources = (source for disk in tree.iterfind("devices/disk") for source in disk.iter("source"))
    return names_of(source.get(key, "") for source in sources for key in ("file", "dev", "volume"))


def _is_active(tree: Element) -> bool:
    """Returns whether the XML is that of a running domain, which has a number on its host."""
    return tree.get("id") is not None


def _pinned(tree: Element) -> tuple[int, ...]:
    """Returns the cores to which exactly one virtual core that is on is bound. A cpuset of several is an affinity, not
    a pin. Pins of virtual cores that are off, or that the domain does not have, take no core.
    """
    pins = {pin.get("vcpu", ""): pin.get("cpuset", "") for pin in tree.iterfind("cputune/vcpupin")}
    default = attribute(tree, "vcpu", "cpuset")
    found = {pins.get(virtual, default) for virtual in _virtual_cores(tree)}
    return tuple(sorted({int(core) for core in found if core.isdecimal()}))


def _virtual_cores(tree: Element) -> Iterable[str]:
    """Returns the numbers of the virtual cores that are on; libvirt lists them if they are not simply the first."""
    states = tree.findall("vcpus/vcpu")
    if states:
        return [one.get("id", "") for one in states if one.get("enabled") == "yes"]
    count = attribute(tree, "vcpu", "current") or text_at(tree, "vcpu", "0")
    return map(str, range(min(int(count), MOST_VIRTUAL_CORES)))


def _nics(tree: Element, function_ports: Mapping[str, str]) -> Iterable[DomainNic]:
    for interface in tree.iterfind("devices/interface"):
        mac_address = attribute(interface, "mac", "address")
        if mac_address in function_ports:
            yield DomainNic(mac_address=mac_address, kind=NicKind.SRIOV, source=function_ports[mac_address])
            continue
        kind, key = _NIC_SOURCES.get(interface.get("type", ""), (NicKind.OTHER, ""))
        address = interface.find("source/address")
        yield DomainNic(
            mac_address=mac_address,
            kind=kind,
            source=attribute(interface, "source", key) if key else "",
            pci_address=None if address is None else pci_address(address),
            port_group=attribute(interface, "source", "portgroup"),
            vlan=vlan_in(interface),
        )


def _passthrough_devices(tree: Element) -> Iterable[DomainNic]:
    """Yields PCI passthrough devices, which may be virtual functions."""
    for address in tree.iterfind("devices/hostdev[@type='pci']/source/address"):
        yield DomainNic(mac_address="", kind=NicKind.SRIOV, pci_address=pci_address(address), is_device=True)


def has_connected_agent(domain: Element) -> bool:
    """Returns whether a guest agent has opened its channel, by the XML of a running domain."""
    channels = domain.iterfind(f"devices/channel/target[@name='{AGENT_CHANNEL}']")
    return any(target.get("state") == "connected" for target in channels)
