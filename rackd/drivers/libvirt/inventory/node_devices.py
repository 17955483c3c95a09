"""Converts libvirt's node devices to network devices and their ports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, frozen

from common.hardware import NetworkDevice, NetworkPort
from rackd.drivers.libvirt.connection.host_reader import HostResponses
from rackd.drivers.libvirt.connection.interface_inventory import NodeDevices
from rackd.drivers.libvirt.definitions.domain_config import HostNics
from rackd.drivers.libvirt.definitions.vlan_xml import network_vlans
from rackd.drivers.libvirt.xml import Element, attribute, format_pci_address, parse, pci_address, text_at

_NO_SPEED = (0, 2**32 - 1)  # what the kernel reports for an unknown speed
_VIRTUAL_FUNCTIONS = "capability/capability[@type='virt_functions']/address"


@frozen(kw_only=True)
class Port:
    """A network interface of a device. `functions` has the PCI addresses of its virtual functions."""

    name: str
    mac_address: str | None
    link: bool
    speed_mbps: int | None
    pci_device: str | None  # the name of its node device
    functions: tuple[str, ...] = ()


def ports_of(devices: NodeDevices) -> tuple[Port, ...]:
    """Returns the ports by name, without virtual functions, which appear and disappear with guests."""
    pci_devices = {name: parse(xml, "a PCI device") for name, xml in devices.pci_devices.items()}
    found = []
    for xml in devices.interfaces:
        tree = parse(xml, "a network device")
        found.append(_port(tree, pci_devices.get(text_at(tree, "parent"))))
    return tuple(sorted(found, key=lambda port: port.name))


def _port(tree: Element, pci_device: Element | None) -> Port:
    speed = attribute(tree, "capability/link", "speed")
    addresses = () if pci_device is None else map(pci_address, pci_device.iterfind(_VIRTUAL_FUNCTIONS))
    return Port(
        name=text_at(tree, "capability/interface"),
        mac_address=text_at(tree, "capability/address").lower() or None,
        link=attribute(tree, "capability/link", "state") == "up",
        speed_mbps=int(speed) if speed.isdigit() and int(speed) not in _NO_SPEED else None,
        pci_device=None if pci_device is None else text_at(pci_device, "name"),
        functions=tuple(filter(None, addresses)),
    )


def network_devices(devices: NodeDevices) -> tuple[NetworkDevice, ...]:
    """Returns the network devices by PCI address, each with its ports.

    The number of virtual functions is that of the existing ones: libvirt creates none.
    """
    ports = ports_of(devices)
    found: dict[str, NetworkDevice] = {}
    for name, xml in devices.pci_devices.items():
        device = _network_device(parse(xml, "a PCI device"))
        found[name] = evolve(device, ports=tuple(_network_port(port) for port in ports if port.pci_device == name))
    return tuple(sorted(found.values(), key=lambda device: device.pci_address or ""))


def _network_device(tree: Element) -> NetworkDevice:
    numa_node = attribute(tree, "capability/numa", "node")
    existing = len(tree.findall(_VIRTUAL_FUNCTIONS))
    return NetworkDevice(
        pci_address=_own_address(tree),
        vendor=text_at(tree, "capability/vendor"),
        vendor_id=attribute(tree, "capability/vendor", "id").removeprefix("0x"),
        product=text_at(tree, "capability/product"),
        product_id=attribute(tree, "capability/product", "id").removeprefix("0x"),
        driver=text_at(tree, "driver/name"),
        numa_node=int(numa_node) if numa_node.isdigit() else None,
        virtual_functions=existing,
        virtual_functions_made=existing,
    )


def _own_address(tree: Element) -> str | None:
    numbers = [text_at(tree, f"capability/{key}") for key in ("domain", "bus", "slot", "function")]
    if not all(number.isdigit() for number in numbers):
        return None
    return format_pci_address(*map(int, numbers))


def _network_port(port: Port) -> NetworkPort:
    return NetworkPort(name=port.name, mac_address=port.mac_address, link=port.link, speed_mbps=port.speed_mbps)


def taken_functions(domains: Iterable[Element]) -> frozenset[str]:
    """Returns the PCI addresses of all devices assigned in these domains' XML."""
    found = (
        pci_address(address)
        for tree in domains
        for path in ("devices/interface[@type='hostdev']/source/address", "devices/hostdev[@type='pci']/source/address")
        for address in tree.iterfind(path)
    )
    return frozenset(filter(None, found))


def ports_of_networks(networks: Iterable[tuple[str, bool]]) -> Mapping[str, str]:
    """Returns port → network for each active network that assigns the virtual functions of a port.

    `networks` has XML and whether the network is active.
    """
    trees = [parse(xml, "a network") for xml, active in networks if active]
    return {
        attribute(tree, "forward/pf", "dev"): text_at(tree, "name")
        for tree in trees
        if attribute(tree, "forward", "mode") == "hostdev" and tree.find("forward/pf") is not None
    }


def host_nics_of(responses: HostResponses) -> HostNics:
    ports = ports_of(responses.devices)
    networks = [parse(xml, "a network") for xml, _ in responses.networks]
    return HostNics(
        vlans={text_at(network, "name"): network_vlans(network) for network in networks},
        by_address={address: port.name for port in ports for address in port.functions},
        by_network={network: port for port, network in ports_of_networks(responses.networks).items()},
    )
