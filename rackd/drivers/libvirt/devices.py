"""Network cards of a server, from libvirt's node devices. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve, frozen

from common.hardware import NetworkCard, NetworkPort
from rackd.drivers.libvirt.trees import Element, attribute, parse, text_at

_NO_SPEED = (0, 2**32 - 1)  # what the kernel tells of cards that have none
# Interfaces by which guests and containers are connected: there are as many of them as there are guests.
_OF_GUESTS = ("vnet", "macvtap", "macvlan", "tap", "veth")
_FUNCTIONS = "capability/capability[@type='virt_functions']/address"
_ANY = "net_"
_NO_DEVICE = ("", "computer")


def is_of_a_guest(interface: str) -> bool:
    """Whether an interface is called as libvirt, LXD and container engines call those that they make for guests."""
    return interface.startswith(_OF_GUESTS)


def may_be_port(device: str) -> bool:
    """Whether a node device of capability `net` may be a port of a card, by its name alone: `net_eth0_52_54_…`."""
    return not is_of_a_guest(device.removeprefix(_ANY))


@frozen(kw_only=True)
class Port:
    """An interface of a device of the server. `functions` are the addresses of the virtual functions made of it."""

    name: str
    mac_address: str | None
    link: bool
    speed_mbps: int | None
    card: str | None  # the name of the PCI device that it is on, if it is on one
    functions: tuple[str, ...] = ()


@frozen(kw_only=True)
class Devices:
    """What node devices say: definitions of interfaces, and of the PCI devices they are on, by name."""

    interfaces: tuple[str, ...] = ()
    cards: Mapping[str, str]


NO_DEVICES = Devices(cards={})


def device_behind(interface: str) -> str | None:
    """The device that an interface's definition says it is on; None for a virtual one."""
    parent = text_at(parse(interface, "a network device"), "parent")
    return parent if parent not in _NO_DEVICE else None


def is_function(card: str) -> bool:
    """Whether a PCI device's definition says that it is a virtual function."""
    return parse(card, "a PCI device").find("capability/capability[@type='phys_function']") is not None


def ports_of(devices: Devices) -> tuple[Port, ...]:
    """By name. Virtual functions are none: guests take them away and give them back."""
    cards = {name: parse(xml, "a PCI device") for name, xml in devices.cards.items()}
    found = []
    for xml in devices.interfaces:
        tree = parse(xml, "a network device")
        found.append(_port(tree, cards.get(text_at(tree, "parent"))))
    return tuple(sorted(found, key=lambda port: port.name))


def _port(tree: Element, card: Element | None) -> Port:
    speed = attribute(tree, "capability/link", "speed")
    return Port(
        name=text_at(tree, "capability/interface"),
        mac_address=text_at(tree, "capability/address").lower() or None,
        link=attribute(tree, "capability/link", "state") == "up",
        speed_mbps=int(speed) if speed.isdigit() and int(speed) not in _NO_SPEED else None,
        card=None if card is None else text_at(card, "name"),
        functions=() if card is None else tuple(filter(None, map(pci_address, card.iterfind(_FUNCTIONS)))),
    )


def pci_address(element: Element) -> str | None:
    """`0000:3b:00.0` of an `<address>` of libvirt's; None when it is none."""
    try:
        domain, bus, slot, function = (int(element.get(key, ""), 0) for key in ("domain", "bus", "slot", "function"))
    except ValueError:
        return None
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def network_cards(devices: Devices) -> tuple[NetworkCard, ...]:
    """By PCI address, each with its ports. Of virtual functions only those that were made count: libvirt makes none."""
    ports = ports_of(devices)
    found: dict[str, NetworkCard] = {}
    for name, xml in devices.cards.items():
        card = _card(parse(xml, "a PCI device"))
        found[name] = evolve(card, ports=tuple(_told(port) for port in ports if port.card == name))
    return tuple(sorted(found.values(), key=lambda card: card.pci_address or ""))


def _card(tree: Element) -> NetworkCard:
    numa_node = attribute(tree, "capability/numa", "node")
    made = len(tree.findall(_FUNCTIONS))
    return NetworkCard(
        pci_address=_own_address(tree),
        vendor=text_at(tree, "capability/vendor"),
        vendor_id=attribute(tree, "capability/vendor", "id").removeprefix("0x"),
        product=text_at(tree, "capability/product"),
        product_id=attribute(tree, "capability/product", "id").removeprefix("0x"),
        driver=text_at(tree, "driver/name"),
        numa_node=int(numa_node) if numa_node.isdigit() else None,
        virtual_functions=made,
        virtual_functions_made=made,
    )


def _own_address(tree: Element) -> str | None:
    keys = ("domain", "bus", "slot", "function")
    numbers = [text_at(tree, f"capability/{key}") for key in keys]
    if not all(number.isdigit() for number in numbers):
        return None
    domain, bus, slot, function = map(int, numbers)
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _told(port: Port) -> NetworkPort:
    return NetworkPort(name=port.name, mac_address=port.mac_address, link=port.link, speed_mbps=port.speed_mbps)


def taken_functions(domains: Iterable[Element]) -> frozenset[str]:
    """PCI addresses of devices that the definitions of guests name."""
    found = (
        pci_address(address)
        for tree in domains
        for path in ("devices/interface[@type='hostdev']/source/address", "devices/hostdev[@type='pci']/source/address")
        for address in tree.iterfind(path)
    )
    return frozenset(filter(None, found))
