"""Reads the interfaces of a host, with subnets, gateways and DHCP ranges, from facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_interface, ip_network

from attrs import evolve, frozen

from common.hardware import NetworkDevice
from common.values import MAX_VID, HostFacts, HostNetwork, NicKind
from regiond.networks.model import Address, Network

_FASTEST_MBPS = 2**31 - 1

InterfaceKey = tuple[str, str]  # (kind, name): unique on a host
Links = tuple[tuple[Network, Address | None], ...]  # each subnet with the host's own address in it

_SAME_IN_MAAS = frozenset({"physical", "bond", "bridge", "vlan"})


@frozen(kw_only=True)
class InterfaceRecord:
    """An interface in the shape of its row, without the VLAN that is derived for it.

    `links` has the networks that can be subnets. `dhcp_ranges` are texts such as `10.1.0.2-10.1.0.254`.
    """

    name: str
    kind: str
    type: str
    mac_address: str | None = None
    parent: str | None = None
    vid: int | None = None
    attachable: bool = True
    active: bool = True
    dhcp: bool = False
    link_speed_mbps: int | None = None
    virtual_functions: int = 0
    dhcp_ranges: tuple[str, ...] = ()
    links: Links = ()

    @property
    def key(self) -> InterfaceKey:
        return self.kind, self.name


@frozen(kw_only=True)
class FoundInterface:
    """An interface, with the facts that determine its VLAN and the gateway of its subnets.

    `bridge` is the host's bridge that implements a network of the hypervisor. `shares_parent_vlan`: untagged frames
    reach the parent unchanged, so both are on one VLAN.
    """

    interface: InterfaceRecord
    bridge: str | None = None
    gateway: Address | None = None
    shares_parent_vlan: bool = True


def interfaces_of(facts: HostFacts) -> tuple[FoundInterface, ...]:
    """Each interface once: the networks in their order, then the ports of network devices without a network."""
    ports = {one.interface.name: one.interface for one in _ports(facts.network_devices)}
    networks = [_network(network, ports) for network in facts.networks]
    named = {network.name for network in facts.networks if network.kind is not NicKind.NETWORK}
    lone = [FoundInterface(interface=port) for name, port in ports.items() if name not in named]
    return tuple({one.interface.key: one for one in reversed([*networks, *lone])}.values())[::-1]


def _network(network: HostNetwork, ports: Mapping[str, InterfaceRecord]) -> FoundInterface:
    is_vlan = network.vid is not None and 0 < network.vid <= MAX_VID
    type = _interface_type(network.kind.value, network.type)
    found = InterfaceRecord(
        name=network.name,
        kind=network.kind.value,
        type="vlan" if type == "unknown" and is_vlan else type,
        mac_address=network.mac_address,
        parent=network.parent,
        vid=network.vid if is_vlan or network.vid == 0 else None,
        attachable=network.attachable,
        active=network.active,
        dhcp=network.dhcp,
        link_speed_mbps=_speed(network.speed_mbps),
        virtual_functions=network.virtual_functions,
        dhcp_ranges=tuple(dict.fromkeys(filter(None, map(_range, network.dhcp_ranges)))),
        links=_links(network),
    )
    port = ports.get(network.name)
    if port is not None and network.kind in (NicKind.MACVLAN, NicKind.SRIOV):
        found = evolve(
            found,
            type="physical" if type == "unknown" and not is_vlan else found.type,
            mac_address=found.mac_address or port.mac_address,
            link_speed_mbps=found.link_speed_mbps or port.link_speed_mbps,
            virtual_functions=found.virtual_functions or port.virtual_functions,
        )
    return FoundInterface(
        interface=found, bridge=network.bridge, gateway=_gateway(network), shares_parent_vlan=network.type != "ovn"
    )


def _ports(devices: Iterable[NetworkDevice]) -> Iterator[FoundInterface]:
    for device in devices:
        for port in device.ports:
            kind = NicKind.SRIOV if device.virtual_functions else NicKind.MACVLAN
            yield FoundInterface(
                interface=InterfaceRecord(
                    name=port.name,
                    kind=kind.value,
                    type="physical",
                    mac_address=port.mac_address,
                    active=port.link,
                    link_speed_mbps=_speed(port.speed_mbps),
                    virtual_functions=device.virtual_functions // len(device.ports),  # the ports share them
                )
            )


def _links(network: HostNetwork) -> Links:
    found: dict[Network, Address | None] = {}
    for text in network.addresses:
        try:
            own = ip_interface(text)
        except ValueError:
            continue  # the driver could not express it
        if is_subnet(own.network):
            found.setdefault(own.network, _address(str(own.ip)))
    for text in network.cidrs:
        try:
            cidr = ip_network(text, strict=False)
        except ValueError:
            continue
        if is_subnet(cidr):
            found.setdefault(cidr, None)
    return sorted_links(found.items())


def sorted_links(links: Iterable[tuple[Network, Address | None]]) -> Links:
    return tuple(sorted(links, key=lambda link: cidr_order(link[0])))


def cidr_order(cidr: Network) -> tuple[int, int, int]:
    return cidr.version, int(cidr.network_address), cidr.prefixlen


def is_subnet(cidr: Network) -> bool:
    """Excludes single addresses, the default route, and networks that every host has (loopback, link-local …)."""
    return 0 < cidr.prefixlen < cidr.max_prefixlen and not (
        cidr.is_loopback or cidr.is_link_local or cidr.is_multicast or cidr.network_address.is_unspecified
    )


def _speed(reported: int | None) -> int | None:
    """None for the impossible numbers with which kernels report an unknown speed."""
    return reported if reported is not None and 0 < reported <= _FASTEST_MBPS else None


def _range(text: str) -> str | None:
    start_text, _, end_text = text.partition("-")
    try:
        start, end = _address(start_text), _address(end_text)
    except ValueError:
        return None
    return f"{start}-{end}" if start.version == end.version and int(start) <= int(end) else None


def _gateway(network: HostNetwork) -> Address | None:
    try:
        return _address(network.gateway) if network.gateway else None
    except ValueError:
        return None


def _address(text: str) -> Address:
    """Without a zone, which means something only on that host. Raises ValueError."""
    return ip_address(text.strip().partition("%")[0])


def _interface_type(kind: str, type: str) -> str:
    """Returns the type that MAAS clients know: `physical`, `bond`, `bridge`, `vlan` or `unknown`.

    A network of the hypervisor is a bridge to its guests.
    """
    if kind in {NicKind.NETWORK, NicKind.BRIDGE}:
        return "bridge"
    return type if type in _SAME_IN_MAAS else "unknown"
