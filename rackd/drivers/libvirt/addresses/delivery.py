"""Decides for each NIC whether DHCP or cloud-init delivers its static address.

The guest's metadata records each DHCP reservation. Deleting the guest removes exactly these, and none that an
administrator added.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from xml.etree import ElementTree as ET

from attrs import frozen

from common.errors import InvalidRequest, WrongState
from common.guests.guest_spec import NicAddress, NicSpec
from common.values import NicKind
from rackd.drivers.cloud_init_network import network_config
from rackd.drivers.libvirt.xml import Element, text_at


@frozen(kw_only=True, order=True)
class Reservation:
    """A DHCP reservation of an address for a NIC in a libvirt network."""

    network: str
    mac_address: str
    address: str


@frozen(kw_only=True)
class Delivery:
    """The two ways in which the addresses of a guest reach it: DHCP reservations and cloud-init."""

    reservations: tuple[Reservation, ...] = ()
    network_config: str | None = None  # for cloud-init


def delivery(nics: Collection[NicSpec], networks: Mapping[str, Element]) -> Delivery:
    """`networks` has the XML of the networks to which NICs with an address are attached."""
    found: dict[str, Reservation] = {}
    for nic, address in addressed(nics):
        network = networks.get(nic.source) if nic.kind is NicKind.NETWORK else None
        if network is not None and serving(network, address.address) is not None:
            mac_address = nic.mac_address.lower()
            found[nic.name] = Reservation(network=nic.source, mac_address=mac_address, address=address.address)
    return Delivery(reservations=tuple(found.values()), network_config=network_config(nics, leased=found))


def addressed(nics: Iterable[NicSpec]) -> list[tuple[NicSpec, NicAddress]]:
    """Returns the NICs that have a static address, with the address."""
    return [(nic, nic.address) for nic in nics if nic.address is not None and nic.configured]


def check_addresses(nics: Iterable[NicSpec]) -> None:
    """Raises InvalidRequest if an address, gateway or DNS server is malformed."""
    for nic, address in addressed(nics):
        try:
            ipaddress.ip_interface(f"{address.address}/{address.prefix_length}")
            for text in filter(None, (address.gateway, *address.dns_servers)):
                ipaddress.ip_address(text)
        except ValueError as error:
            raise InvalidRequest(f"The NIC {nic.name!r} has an invalid address: {error}.") from error


def serving(network: Element, address: str) -> int | None:
    """Returns the index of the `<ip>` element whose DHCP server covers `address`, or None.

    None for IPv6: libvirt reserves those by the client's DUID, which is unknown before the guest runs.
    """
    wanted = ipaddress.ip_address(address)
    for index, element in enumerate(network.iterfind("ip")):
        subnet = subnet_of(element)
        if subnet is not None and wanted.version == 4 and wanted in subnet and element.find("dhcp") is not None:
            return index
    return None


def subnet_of(element: Element) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Returns the subnet of an `<ip>` element; None if it is malformed."""
    own = own_address(element)
    return None if own is None else own.network


def own_address(element: Element) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    """Returns the host's own address in an `<ip>` element, with its prefix; None if it is malformed."""
    length = element.get("prefix") or element.get("netmask") or ""
    text = element.get("address", "")
    try:
        return ipaddress.ip_interface(f"{text}/{length}" if length else text)
    except ValueError:
        return None


def is_reserved(network: Element, reservation: Reservation) -> bool:
    """Returns whether the network has this reservation."""
    return any((mac, address) == (reservation.mac_address, reservation.address) for mac, address, _ in _hosts(network))


def reservations_of(network: Element) -> tuple[Reservation, ...]:
    """Returns all reservations of the network, including those of others."""
    name = text_at(network, "name")
    return tuple(Reservation(network=name, mac_address=mac, address=ip) for mac, ip, _ in _hosts(network))


def _hosts(network: Element) -> Iterable[tuple[str, str, str]]:
    for host in network.iterfind("ip/dhcp/host"):
        yield host.get("mac", "").lower(), host.get("ip", ""), host.get("name", "")


def check_free(network: Element, reservation: Reservation, *, replaced: Collection[Reservation] = ()) -> None:
    """Raises WrongState if the address is reserved for another NIC, or the NIC has another reservation.

    Those in `replaced` will be removed first.
    """
    ending = {(one.mac_address, one.address) for one in replaced if one.network == reservation.network}
    for mac, address, host_name in _hosts(network):
        if (mac, address) in ending:
            continue
        if (mac == reservation.mac_address) != (address == reservation.address):
            name = f" ({host_name})" if host_name else ""
            raise WrongState(
                f"Cannot reserve {reservation.address} for {reservation.mac_address}: the network "
                f"{reservation.network} reserves {address} for {mac or 'another NIC'}{name}. Choose another address, "
                f"or delete that entry with virsh net-update {reservation.network} delete ip-dhcp-host."
            )


def host_element(reservation: Reservation) -> str:
    """Returns the DHCP host entry, without a name: libvirt rejects two entries of the same name."""
    return ET.tostring(ET.Element("host", mac=reservation.mac_address, ip=reservation.address), encoding="unicode")
