"""What a guest's card can be attached to besides libvirt's own networks: interfaces of the server. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Mapping

from attrs import frozen

from common.values import HostNetwork, NicKind
from rackd.drivers.libvirt.devices import Devices, is_of_a_guest, ports_of
from rackd.drivers.libvirt.trees import Element, attribute, parse

_COMPOSED = {"bridge": NicKind.BRIDGE, "bond": NicKind.MACVLAN, "vlan": NicKind.MACVLAN}


def is_composed(xml: str) -> bool:
    """Whether libvirt tells an interface as a bridge, bond or VLAN."""
    return parse(xml, "an interface").get("type") in _COMPOSED


@frozen(kw_only=True)
class _Host:
    interfaces: Mapping[str, Element]
    enslaved: Container[str]

    def uplink(self, bridge: Element) -> str | None:
        """The interface of the server that is a port of this bridge; guests' cards are ports too."""
        ports = (port.get("name", "") for port in bridge.iterfind("bridge/interface"))
        return min((name for name in ports if name and not is_of_a_guest(name)), default=None)

    def tag(self, tree: Element) -> tuple[int | None, str | None]:
        """The VLAN that its frames are of on the wire (0: without a tag), and the interface that leads there."""
        kind = tree.get("type")
        if kind == "vlan":
            vid = attribute(tree, "vlan", "tag")
            return int(vid) if vid.isdigit() else None, attribute(tree, "vlan/interface", "name") or None
        if kind != "bridge":
            return 0, None
        uplink = self.uplink(tree)
        if uplink is None:
            return None, None
        below = self.interfaces.get(uplink)
        return self.tag(below) if below is not None and below.get("type") == "vlan" else (0, uplink)


def interfaces_of(
    told: Iterable[tuple[str, bool]], devices: Devices, managed: Container[str]
) -> tuple[HostNetwork, ...]:
    """Bridges, bonds, ports of cards, then VLANs, each by name. `managed` bridges are those of libvirt's own networks.

    A port of a bridge or bond is nothing to attach a card to, but for its virtual functions. Addresses are told by few
    libvirts only.
    """
    states = {parse(xml, "an interface").get("name", ""): (parse(xml, "an interface"), up) for xml, up in told}
    trees = {name: tree for name, (tree, _) in states.items()}
    host = _Host(interfaces=trees, enslaved=frozenset(_enslaved(trees.values())))
    found = [_interface(host, tree, up=up) for name, (tree, up) in states.items() if name not in managed]
    return tuple(sorted((*found, *_ports(host, devices)), key=lambda one: (_ORDER.index(one.type), one.name)))


_ORDER = ("bridge", "bond", "physical", "vlan")


def _enslaved(trees: Iterable[Element]) -> Iterable[str]:
    for tree in trees:
        for path in ("bridge/interface", "bond/interface"):
            yield from (port.get("name", "") for port in tree.iterfind(path))


def _interface(host: _Host, tree: Element, *, up: bool) -> HostNetwork:
    kind, name = tree.get("type", ""), tree.get("name", "")
    vid, parent = host.tag(tree)
    addresses = tuple(filter(None, map(_address, tree.iterfind("protocol/ip"))))
    return HostNetwork(
        kind=_COMPOSED[kind],
        name=name,
        type=kind,
        active=up or kind == "bridge",  # which is down as long as nothing is plugged in
        attachable=name not in host.enslaved,
        vid=vid,
        parent=parent,
        mac_address=attribute(tree, "mac", "address").lower() or None,
        addresses=addresses,
        cidrs=tuple(str(ipaddress.ip_interface(address).network) for address in addresses),
    )


def _address(element: Element) -> str | None:
    try:
        found = ipaddress.ip_interface(f"{element.get('address', '')}/{element.get('prefix', '')}")
    except ValueError:
        return None
    return None if found.is_link_local else str(found)


def _ports(host: _Host, devices: Devices) -> Iterable[HostNetwork]:
    for port in ports_of(devices):
        yield HostNetwork(
            kind=NicKind.MACVLAN,
            name=port.name,
            type="physical",
            active=port.link,
            attachable=bool(port.functions) or port.name not in host.enslaved,
            vid=0,
            mac_address=port.mac_address,
            speed_mbps=port.speed_mbps,
            virtual_functions=len(port.functions),  # that were made: libvirt makes none
        )
