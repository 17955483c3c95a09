"""How cards get their fixed addresses: from a libvirt network's own DHCP server where it has one, otherwise from a
small image for cloud-init. Pure.

What a network was told for a guest is written into the guest's mark, so that whoever removes the guest takes exactly
that away again, and nothing that an administrator entered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from attrs import frozen

from common.errors import InvalidRequest, WrongState
from common.guest_network import network_config
from common.values import GuestSpec, NicAddress, NicKind, NicSpec
from rackd.drivers.libvirt.trees import Element, text_at


@frozen(kw_only=True)
class Reservation:
    """That a libvirt network's DHCP server gives this address to this card."""

    network: str
    mac_address: str
    address: str


@frozen(kw_only=True)
class Delivery:
    """How the addresses of a guest reach it."""

    reservations: tuple[Reservation, ...] = ()
    network_config: str | None = None  # for cloud-init


def delivery(spec: GuestSpec, networks: Mapping[str, Element]) -> Delivery:
    """`networks` holds the definitions of those that cards with an address are attached to."""
    found: dict[str, Reservation] = {}
    for nic, address in addressed(spec):
        network = networks.get(nic.source) if nic.kind is NicKind.NETWORK else None
        if network is not None and serving(network, address.address) is not None:
            mac_address = nic.mac_address.lower()
            found[nic.name] = Reservation(network=nic.source, mac_address=mac_address, address=address.address)
    return Delivery(reservations=tuple(found.values()), network_config=network_config(spec.nics, leased=found))


def addressed(spec: GuestSpec) -> list[tuple[NicSpec, NicAddress]]:
    """The cards that are given an address, with it."""
    return [(nic, nic.address) for nic in spec.nics if nic.address is not None and nic.configured]


def check_addresses(spec: GuestSpec) -> None:
    """InvalidRequest when an address is none, or has no room in its own subnet."""
    for nic, address in addressed(spec):
        try:
            ipaddress.ip_interface(f"{address.address}/{address.prefix_length}")
            for text in filter(None, (address.gateway, *address.dns_servers)):
                ipaddress.ip_address(text)
        except ValueError as error:
            raise InvalidRequest(f"The card {nic.name!r} cannot have that address: {error}.") from error


def serving(network: Element, address: str) -> int | None:
    """Which `<ip>` element of the network hands out addresses to the subnet of `address`, counted from 0.

    None for IPv6: libvirt reserves those by a client's own identifier, which nobody knows before the guest runs.
    """
    wanted = ipaddress.ip_address(address)
    for index, element in enumerate(network.iterfind("ip")):
        subnet = subnet_of(element)
        if subnet is not None and wanted.version == 4 and wanted in subnet and element.find("dhcp") is not None:
            return index
    return None


def subnet_of(element: Element) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The subnet of an `<ip>` element; None where it says nothing that makes sense."""
    own = own_address(element)
    return None if own is None else own.network


def own_address(element: Element) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """The host's own address of an `<ip>` element, with its subnet."""
    length = element.get("prefix") or element.get("netmask") or ""
    text = element.get("address", "")
    try:
        return ipaddress.ip_interface(f"{text}/{length}" if length else text)
    except ValueError:
        return None


def is_held(network: Element, wanted: Reservation) -> bool:
    """Whether the network has this reservation."""
    return any((mac, address) == (wanted.mac_address, wanted.address) for mac, address, _ in _hosts(network))


def reservations_of(network: Element) -> tuple[Reservation, ...]:
    """All that the network has, whoever entered them."""
    name = text_at(network, "name")
    return tuple(Reservation(network=name, mac_address=mac, address=ip) for mac, ip, _ in _hosts(network))


def _hosts(network: Element) -> Iterable[tuple[str, str, str]]:
    for host in network.iterfind("ip/dhcp/host"):
        yield host.get("mac", "").lower(), host.get("ip", ""), host.get("name", "")


def check_free(network: Element, wanted: Reservation) -> None:
    """WrongState, naming it, when the address is reserved for another card, or the card has another address."""
    for mac, address, called in _hosts(network):
        if (mac == wanted.mac_address) != (address == wanted.address):
            name = f" ({called})" if called else ""
            raise WrongState(
                f"The network {wanted.network} reserves {address} for {mac or 'another card'}{name}, so "
                f"{wanted.address} cannot be reserved for {wanted.mac_address}: choose another address, or take that "
                f"host entry away (virsh net-update {wanted.network} delete ip-dhcp-host)."
            )


def host_element(wanted: Reservation) -> str:
    """What the network is told. Without a name: two guests of one name would be refused."""
    return ET.tostring(ET.Element("host", mac=wanted.mac_address, ip=wanted.address), encoding="unicode")


def written(reservation: Reservation) -> Mapping[str, str]:
    """The attributes by which the mark in a definition holds it."""
    return {"network": reservation.network, "mac": reservation.mac_address, "address": reservation.address}


def read(element: Element) -> Reservation:
    """What `written` wrote."""
    network, mac_address, address = (element.get(key, "") for key in ("network", "mac", "address"))
    return Reservation(network=network, mac_address=mac_address, address=address)
