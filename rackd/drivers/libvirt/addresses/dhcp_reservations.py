"""Adds and removes DHCP reservations for guests in libvirt networks."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from common.errors import NotFound
from common.guests.guest_spec import GuestSpec, NicSpec
from common.values import NicKind
from rackd.drivers.libvirt.addresses.delivery import (
    Delivery,
    Reservation,
    addressed,
    check_addresses,
    check_free,
    delivery,
    host_element,
    is_reserved,
    reservations_of,
    serving,
)
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Network
from rackd.drivers.libvirt.xml import parse

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def plan_delivery(client: Client, nics: Collection[NicSpec], *, replaced: Collection[Reservation] = ()) -> Delivery:
    """Returns how the addresses of these NICs will reach the guest. Changes nothing. `replaced` will be removed first.

    Raises NotFound if a network does not exist, WrongState if an address is reserved for another NIC.
    """
    names = {nic.source for nic, _ in addressed(nics) if nic.kind is NicKind.NETWORK}
    networks = {name: parse(_network(client, name).xml(), f"the network {name}") for name in names}
    found = delivery(nics, networks)
    for one in found.reservations:
        check_free(networks[one.network], one, replaced=replaced)
    return found


def plan_replacement(client: Client, spec: GuestSpec, before: Collection[Reservation]) -> Delivery:
    """Returns how the addresses of `spec` will reach a guest that has the reservations `before`. Changes nothing.

    A network that does not exist any more serves no address. Raises WrongState as `plan_delivery` does.
    """
    check_addresses(spec.nics)
    names = {nic.source for nic, _ in addressed(spec.nics) if nic.kind is NicKind.NETWORK}
    found = {name: client.network(name) for name in names}
    networks = {name: parse(one.xml(), f"the network {name}") for name, one in found.items() if one is not None}
    plan = delivery(spec.nics, networks)
    for one in plan.reservations:
        check_free(networks[one.network], one, replaced=before)
    return plan


def replace(client: Client, before: Iterable[Reservation], after: Collection[Reservation]) -> None:
    """Removes the reservations `before` that are not wanted any more, and adds those that are. Idempotent."""
    release(client, [one for one in before if one not in after])
    reserve(client, after)


def reserve(client: Client, reservations: Iterable[Reservation]) -> None:
    """Adds the reservations to each network's live and persistent configuration. Idempotent.

    Raises NotFound and WrongState as `plan_delivery` does.
    """
    for one in reservations:
        network = _network(client, one.network)
        for state, xml in network.states():
            tree = parse(xml, f"the network {one.network}")
            index = serving(tree, one.address)
            check_free(tree, one)
            if index is not None and not is_reserved(tree, one):
                network.add_host(host_element(one), address_index=index, state=state)
        log.info("address_reserved", network=one.network, mac_address=one.mac_address, address=one.address)


def release(client: Client, reservations: Iterable[Reservation]) -> None:
    """Removes these reservations and no others. Idempotent."""
    for one in reservations:
        network = client.network(one.network)
        if network is None:
            log.info("network_not_found", network=one.network, address=one.address)
            continue
        for state, xml in network.states():
            tree = parse(xml, f"the network {one.network}")
            index = serving(tree, one.address)
            if index is not None and is_reserved(tree, one):
                network.remove_host(host_element(one), address_index=index, state=state)
        log.info("address_released", network=one.network, mac_address=one.mac_address, address=one.address)


def reserved_for(client: Client, mac_addresses: Iterable[str]) -> tuple[Reservation, ...]:
    """Returns the reservations for these MAC addresses, for a guest that no longer exists."""
    wanted = {address.lower() for address in mac_addresses}
    trees = [parse(xml, "a network") for xml, _ in client.networks()]
    return tuple(one for tree in trees for one in reservations_of(tree) if one.mac_address in wanted)


def _network(client: Client, name: str) -> Network:
    found = client.network(name)
    if found is None:
        raise NotFound(f"The host has no network {name}.", network=name)
    return found
