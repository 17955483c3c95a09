"""What a look at a host says of its interfaces, put so that networks can be learned of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_interface, ip_network

from attrs import evolve, frozen

from common.hardware import NetworkCard
from common.values import HIGHEST_VID, HostFacts, HostNetwork, NicKind
from regiond.networks.model import Address, Network
from regiond.networks.words import interface_type

_FASTEST_MBPS = 2**31 - 1

Key = tuple[str, str]  # kind and name: what an interface of one host is known by
Links = tuple[tuple[Network, Address | None], ...]  # the host's own address in each, by CIDR


@frozen(kw_only=True)
class FoundInterface:
    """An interface as its row holds it, apart from what is learned of it: VLAN and subnets.

    `links` are networks that can be subnets. `dhcp_ranges` are texts `10.1.0.2-10.1.0.254`.
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
    def key(self) -> Key:
        return self.kind, self.name


@frozen(kw_only=True)
class Found:
    """`bridge` is the bridge of the host that a network of its hypervisor is; `mixed` says that what is sent there
    reaches the parent as it is, so both are on one VLAN."""

    interface: FoundInterface
    bridge: str | None = None
    gateway: Address | None = None
    mixed: bool = True


def found_in(facts: HostFacts) -> tuple[Found, ...]:
    """Each interface once: the networks in their order, then the ports of cards that no network is."""
    ports = {one.interface.name: one.interface for one in _ports(facts.network_cards)}
    networks = [_network(network, ports) for network in facts.networks]
    named = {network.name for network in facts.networks if network.kind is not NicKind.NETWORK}
    lone = [Found(interface=port) for name, port in ports.items() if name not in named]
    return tuple({one.interface.key: one for one in reversed([*networks, *lone])}.values())[::-1]


def _network(network: HostNetwork, ports: Mapping[str, FoundInterface]) -> Found:
    is_vlan = network.vid is not None and 0 < network.vid <= HIGHEST_VID
    type = interface_type(network.kind.value, network.type)
    found = FoundInterface(
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
    return Found(interface=found, bridge=network.bridge, gateway=_gateway(network), mixed=network.type != "ovn")


def _ports(cards: Iterable[NetworkCard]) -> Iterator[Found]:
    for card in cards:
        for port in card.ports:
            kind = NicKind.SRIOV if card.virtual_functions else NicKind.MACVLAN
            yield Found(
                interface=FoundInterface(
                    name=port.name,
                    kind=kind.value,
                    type="physical",
                    mac_address=port.mac_address,
                    active=port.link,
                    link_speed_mbps=_speed(port.speed_mbps),
                    virtual_functions=card.virtual_functions // len(card.ports),  # they share its functions
                )
            )


def _links(network: HostNetwork) -> Links:
    found: dict[Network, Address | None] = {}
    for text in network.addresses:
        try:
            own = ip_interface(text)
        except ValueError:
            continue  # what a driver could not put in such words says nothing
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
    """Not one host alone, not everything, and nothing that every host has of its own."""
    return 0 < cidr.prefixlen < cidr.max_prefixlen and not (
        cidr.is_loopback or cidr.is_link_local or cidr.is_multicast or cidr.network_address.is_unspecified
    )


def _speed(told: int | None) -> int | None:
    """Kernels say that they do not know it with a number that no network has."""
    return told if told is not None and 0 < told <= _FASTEST_MBPS else None


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
    """Without a zone, which only that host knows. Raises ValueError."""
    return ip_address(text.strip().partition("%")[0])
