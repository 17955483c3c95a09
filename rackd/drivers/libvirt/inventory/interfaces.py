"""Converts a server's interfaces to networks for guests' NICs."""

from __future__ import annotations

import ipaddress
from collections.abc import Container, Iterable, Mapping

from attrs import frozen

from common.values import HostNetwork, NicKind
from rackd.drivers.libvirt.connection.interface_inventory import NodeDevices, is_guest_interface
from rackd.drivers.libvirt.inventory.node_devices import ports_of
from rackd.drivers.libvirt.xml import Element, attribute, parse

_KINDS = {"bridge": NicKind.BRIDGE, "bond": NicKind.MACVLAN, "vlan": NicKind.MACVLAN}
_ORDER = ("bridge", "bond", "physical", "vlan")  # of the types in a listing


@frozen(kw_only=True)
class _Host:
    interfaces: Mapping[str, Element]
    member_ports: Container[str]

    def uplink(self, bridge: Element) -> str | None:
        """Returns the server's interface that is a port of this bridge. Ignores the interfaces of guests."""
        ports = (port.get("name", "") for port in bridge.iterfind("bridge/interface"))
        return min((name for name in ports if name and not is_guest_interface(name)), default=None)

    def tag(self, tree: Element) -> tuple[int | None, str | None]:
        """Returns the VLAN id of its frames on the wire (0: untagged) and the parent interface."""
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
    interfaces: Iterable[tuple[str, bool]], devices: NodeDevices, managed: Container[str]
) -> tuple[HostNetwork, ...]:
    """Returns bridges, bonds, device ports, then VLANs, each sorted by name, without `managed` bridges.

    `interfaces` has XML and whether the interface is up; `managed` are the bridges of libvirt's networks. A port of a
    bridge or bond is attachable only for its virtual functions. Few libvirt versions report addresses.
    """
    states = {parse(xml, "an interface").get("name", ""): (parse(xml, "an interface"), up) for xml, up in interfaces}
    trees = {name: tree for name, (tree, _) in states.items()}
    host = _Host(interfaces=trees, member_ports=frozenset(_member_ports(trees.values())))
    found = [_interface(host, tree, up=up) for name, (tree, up) in states.items() if name not in managed]
    return tuple(sorted((*found, *_ports(host, devices)), key=lambda one: (_ORDER.index(one.type), one.name)))


def _member_ports(trees: Iterable[Element]) -> Iterable[str]:
    for tree in trees:
        for path in ("bridge/interface", "bond/interface"):
            yield from (port.get("name", "") for port in tree.iterfind(path))


def _interface(host: _Host, tree: Element, *, up: bool) -> HostNetwork:
    kind, name = tree.get("type", ""), tree.get("name", "")
    vid, parent = host.tag(tree)
    addresses = tuple(filter(None, map(_address, tree.iterfind("protocol/ip"))))
    return HostNetwork(
        kind=_KINDS[kind],
        name=name,
        type=kind,
        active=up or kind == "bridge",  # a bridge without ports is down
        attachable=name not in host.member_ports,
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


def _ports(host: _Host, devices: NodeDevices) -> Iterable[HostNetwork]:
    for port in ports_of(devices):
        yield HostNetwork(
            kind=NicKind.MACVLAN,
            name=port.name,
            type="physical",
            active=port.link,
            attachable=bool(port.functions) or port.name not in host.member_ports,
            vid=0,
            mac_address=port.mac_address,
            speed_mbps=port.speed_mbps,
            virtual_functions=len(port.functions),  # the existing ones: libvirt creates none
        )
