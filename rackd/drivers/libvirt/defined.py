"""What only a domain's definition says of a guest: pins, huge pages, cards, serials. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from attrs import field, frozen

from common.values import GuestNic, Mark, NicKind
from rackd.drivers.libvirt.client import HostAnswers
from rackd.drivers.libvirt.devices import pci_address, ports_of
from rackd.drivers.libvirt.facts import DEBIAN_ARCHITECTURES
from rackd.drivers.libvirt.functions import ports_of_networks
from rackd.drivers.libvirt.trees import Element, attribute, text_at

_NIC_SOURCES = {
    "network": (NicKind.NETWORK, "network"),
    "bridge": (NicKind.BRIDGE, "bridge"),
    "direct": (NicKind.MACVLAN, "dev"),
    "user": (NicKind.USER, ""),
    "hostdev": (NicKind.SRIOV, ""),  # libvirt takes nothing but a virtual function there, and names it by address
}


@frozen(kw_only=True)
class FunctionPorts:
    """Which port a virtual function is of: by its PCI address, or by the network that hands it out."""

    by_address: Mapping[str, str] = field(factory=dict)
    by_network: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, answers: HostAnswers) -> FunctionPorts:
        ports = ports_of(answers.devices)
        return cls(
            by_address={address: port.name for port in ports for address in port.functions},
            by_network={network: port for port, network in ports_of_networks(answers.networks).items()},
        )


UNKNOWN_PORTS = FunctionPorts()


@frozen(kw_only=True)
class DefinedNic:
    """A card as its definition names it. `is_device`: a PCI device of the server's, which need not be a card."""

    mac_address: str
    kind: NicKind
    source: str = ""
    pci_address: str | None = None
    is_device: bool = False

    def on(self, ports: FunctionPorts) -> GuestNic | None:
        """With the port, where the card is a virtual function; None for a device that is no function of a port."""
        kind, source = self.kind, self.source
        if kind is NicKind.NETWORK and source in ports.by_network:
            kind, source = NicKind.SRIOV, ports.by_network[source]
        elif kind is NicKind.SRIOV and not source and self.pci_address is not None:
            source = ports.by_address.get(self.pci_address, "")
        if self.is_device and not source:
            return None
        return GuestNic(mac_address=self.mac_address, kind=kind, source=source)


@frozen(kw_only=True)
class Defined:
    """Of a running guest as it runs, of another one as it will be started."""

    architecture: str
    huge_pages_backed: bool
    pinned_core_ids: tuple[int, ...]
    nics: tuple[DefinedNic, ...]
    serials: Mapping[str, str]  # by the device name of the disk
    volume_names: frozenset[str] = frozenset()  # of all that its disks and drives are made of
    mark: Mark | None = None  # the mark proper

    def nics_on(self, ports: FunctionPorts) -> tuple[GuestNic, ...]:
        return tuple(nic for nic in (card.on(ports) for card in self.nics) if nic is not None)


def defined(tree: Element, made_for: Mapping[str, str], mark: Mark | None = None) -> Defined:
    """`made_for`: the ports that we noted when we made the guest, by the MAC addresses of their cards. `mark`: the one
    that it carries."""
    kernel = attribute(tree, "os/type", "arch")
    return Defined(
        architecture=DEBIAN_ARCHITECTURES.get(kernel, kernel),
        huge_pages_backed=tree.find("memoryBacking/hugepages") is not None,
        pinned_core_ids=_pinned(tree),
        nics=(*_nics(tree, made_for), *_devices(tree)),
        serials={
            attribute(disk, "target", "dev"): serial
            for disk in tree.iterfind("devices/disk")
            if (serial := text_at(disk, "serial"))
        },
        volume_names=volume_names(tree),
        mark=mark,
    )


def volume_names(tree: Element) -> frozenset[str]:
    """The names, without their folders, of what is behind each disk and drive: images and those they are made on,
    devices, and volumes that are named with their storage pool."""
    sources = (source for disk in tree.iterfind("devices/disk") for source in disk.iter("source"))
    told = (source.get(key, "") for source in sources for key in ("file", "dev", "volume"))
    return frozenset(PurePosixPath(one).name for one in told if one)


def _pinned(tree: Element) -> tuple[int, ...]:
    """The cores that virtual cores are bound to, each to one. A range is an affinity, not a pin."""
    bound = [pin.get("cpuset", "") for pin in tree.iterfind("cputune/vcpupin")]
    if len(bound) < int(text_at(tree, "vcpu", "0")):
        bound.append(attribute(tree, "vcpu", "cpuset"))  # of those that have no pin of their own
    return tuple(sorted({int(core) for core in bound if core.isdigit()}))


def _nics(tree: Element, made_for: Mapping[str, str]) -> Iterable[DefinedNic]:
    for card in tree.iterfind("devices/interface"):
        mac_address = attribute(card, "mac", "address")
        if mac_address in made_for:
            yield DefinedNic(mac_address=mac_address, kind=NicKind.SRIOV, source=made_for[mac_address])
            continue
        kind, key = _NIC_SOURCES.get(card.get("type", ""), (NicKind.OTHER, ""))
        address = card.find("source/address")
        yield DefinedNic(
            mac_address=mac_address,
            kind=kind,
            source=attribute(card, "source", key) if key else "",
            pci_address=None if address is None else pci_address(address),
        )


def _devices(tree: Element) -> Iterable[DefinedNic]:
    """Devices of the server that the guest was given as they are; a virtual function may be among them."""
    for address in tree.iterfind("devices/hostdev[@type='pci']/source/address"):
        yield DefinedNic(mac_address="", kind=NicKind.SRIOV, pci_address=pci_address(address), is_device=True)
