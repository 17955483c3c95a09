"""Addresses that libvirt's own DHCP servers keep for cards of our guests: entered, and taken away again."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from common.errors import NotFound
from common.values import GuestSpec, NicKind
from rackd.drivers.libvirt.addresses import (
    Delivery,
    Reservation,
    addressed,
    check_free,
    delivery,
    host_element,
    is_held,
    reservations_of,
    serving,
)
from rackd.drivers.libvirt.client import Client
from rackd.drivers.libvirt.handles import Network
from rackd.drivers.libvirt.trees import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def delivery_of(client: Client, spec: GuestSpec) -> Delivery:
    """How the addresses of `spec` will reach the guest. Changes nothing.

    NotFound when there is no such network, WrongState when it keeps the address for somebody else.
    """
    names = {nic.source for nic, _ in addressed(spec) if nic.kind is NicKind.NETWORK}
    networks = {name: parse(_network(client, name).xml(), f"the network {name}") for name in names}
    found = delivery(spec, networks)
    for one in found.reservations:
        check_free(networks[one.network], one)
    return found


def hold(client: Client, wanted: Iterable[Reservation]) -> None:
    """Each network keeps these afterwards, as it runs and in its definition. Calling again is harmless.

    NotFound and WrongState as above.
    """
    for one in wanted:
        network = _network(client, one.network)
        for state, xml in network.states():
            tree = parse(xml, f"the network {one.network}")
            index = serving(tree, one.address)
            check_free(tree, one)
            if index is not None and not is_held(tree, one):
                network.add_host(host_element(one), address_index=index, state=state)
        log.info("address_reserved", network=one.network, mac_address=one.mac_address, address=one.address)


def release(client: Client, held: Iterable[Reservation]) -> None:
    """No network keeps these any more. Those of somebody else stay."""
    for one in held:
        network = client.network(one.network)
        if network is None:
            log.info("network_was_gone", network=one.network, address=one.address)
            continue
        for state, xml in network.states():
            tree = parse(xml, f"the network {one.network}")
            index = serving(tree, one.address)
            if index is not None and is_held(tree, one):
                network.remove_host(host_element(one), address_index=index, state=state)
        log.info("address_released", network=one.network, mac_address=one.mac_address, address=one.address)


def held_for(client: Client, mac_addresses: Iterable[str]) -> tuple[Reservation, ...]:
    """What networks keep for these cards, for a guest that is gone with all that it said."""
    wanted = {address.lower() for address in mac_addresses}
    trees = [parse(xml, "a network") for xml, _ in client.networks()]
    return tuple(one for tree in trees for one in reservations_of(tree) if one.mac_address in wanted)


def _network(client: Client, name: str) -> Network:
    found = client.network(name)
    if found is None:
        raise NotFound(f"The host has no network {name}.", network=name)
    return found
