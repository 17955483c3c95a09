"""Attaches NICs to a domain and detaches them, with their DHCP reservations, also while it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import structlog

from common.errors import HostUnreachable, InnkeeperError
from common.guests.guest_spec import NicSpec
from common.values import GuestRef, PowerState
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.libvirt.addresses import dhcp_reservations
from rackd.drivers.libvirt.addresses.delivery import Reservation, check_addresses
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions import metadata
from rackd.drivers.libvirt.definitions.nic_xml import (
    VirtualFunction,
    add_nic,
    check_nic,
    nic_at,
    nic_element,
    remove_nic,
)
from rackd.drivers.libvirt.guests import sriov
from rackd.drivers.libvirt.guests.live_devices import check_next_start_is_boot, live_of, plug, unplug
from rackd.drivers.libvirt.guests.lookup import definition_of, marked_domain, tree_of
from rackd.drivers.libvirt.guests.nic_sources import check_sources
from rackd.drivers.libvirt.inventory.guests import power_of
from rackd.drivers.libvirt.xml import Element

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def attach(client: Client, guest: GuestRef, nic: NicSpec, *, closing: threading.Event) -> PowerState:
    """Returns the power state. Raises as the driver contract says.

    The domain records a reservation before the network has it, and has the NIC last: whatever is left of an attempt
    that the host did not finish, a further one uses, and `detach` and the deletion of the guest find.
    """
    check_nic(nic)
    check_addresses([nic])
    domain = required_guest(marked_domain(client, guest), guest)
    states = [tree for tree in (live_of(domain), definition_of(domain)) if tree is not None]
    lacking = [tree for tree in states if nic_at(tree, nic.mac_address) is None]
    if not lacking:
        return power_of(domain.state())
    check_next_start_is_boot(domain, "NICs")
    check_sources(client, [nic])
    reservations = dhcp_reservations.plan_delivery(client, [nic]).reservations
    functions = sriov.choose(client, guest, [nic])
    try:
        _record(domain, nic, reservations, functions)
        dhcp_reservations.reserve(client, reservations)
        _add(client, domain, nic_element(nic, functions.get(nic.mac_address), boot_order=None), nic)
        sriov.check_still_free(client, guest, functions)
    except HostUnreachable:
        raise
    except BaseException:
        with _logged(domain, nic.mac_address):
            if len(lacking) == len(states):
                _remove(client, domain, nic.mac_address, closing)
            elif not _is_recorded(states[0], nic.mac_address):  # an administrator has attached half of it
                _forget(client, domain, nic.mac_address.lower())
        raise
    log.info("nic_attached", guest=domain.name, mac_address=nic.mac_address, kind=nic.kind, source=nic.source)
    return power_of(domain.state())


def _record(
    domain: Domain, nic: NicSpec, reservations: tuple[Reservation, ...], functions: Mapping[str, VirtualFunction]
) -> None:
    tree = tree_of(domain)
    known = metadata.reservations_in(tree)
    if reservations or functions:
        metadata.set_reservations(tree, (*known, *(one for one in reservations if one not in known)))
        metadata.set_function_port(tree, nic.mac_address, nic.source if functions else None)
        domain.set_marker(metadata.recorded_marker(tree), metadata.MARKER_NAMESPACE)


def _add(client: Client, domain: Domain, element: Element, nic: NicSpec) -> None:
    live, definition = live_of(domain), definition_of(domain)
    is_defined = nic_at(definition, nic.mac_address) is not None
    if live is not None and nic_at(live, nic.mac_address) is None:
        plug(domain, element, f"the NIC {nic.mac_address}", persistent=not is_defined)
    elif not is_defined:
        add_nic(definition, element)
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)


def _is_recorded(domain: Element, mac_address: str) -> bool:
    return any(one.mac_address == mac_address.lower() for one in metadata.reservations_in(domain))


@contextmanager
def _logged(domain: Domain, mac_address: str) -> Iterator[None]:
    """Logs why a failed attempt is not undone."""
    try:
        yield
    except InnkeeperError as error:
        log.warning("failed_attach_not_undone", guest=domain.name, mac_address=mac_address, reason=str(error))


def detach(client: Client, guest: GuestRef, mac_address: str, *, closing: threading.Event) -> PowerState:
    """Returns the power state. Raises as the driver contract says. `closing` interrupts the wait for the guest.

    A guest that kept the NIC may still give it back later, such as when its system starts: it then has the NIC again
    after its next start.
    """
    domain = required_guest(marked_domain(client, guest), guest)
    if _remove(client, domain, mac_address, closing):
        log.info("nic_detached", guest=domain.name, mac_address=mac_address)
    return power_of(domain.state())


def _remove(client: Client, domain: Domain, mac_address: str, closing: threading.Event) -> bool:
    """Returns whether anything changed."""
    if nic_at(definition_of(domain), mac_address) is not None:
        check_next_start_is_boot(domain, "NICs")
    unplugged = unplug(
        domain,
        lambda tree: nic_at(tree, mac_address),
        f"the NIC {mac_address}",
        "Try again once the guest's system is up, or shut the guest down first.",
        closing,
    )
    definition = definition_of(domain)
    nic = nic_at(definition, mac_address)
    if nic is not None:
        remove_nic(definition, nic)
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)
    return _forget(client, domain, mac_address.lower()) or unplugged or nic is not None


def _forget(client: Client, domain: Domain, mac_address: str) -> bool:
    tree = tree_of(domain)
    known = metadata.reservations_in(tree)
    ended = [one for one in known if one.mac_address == mac_address]
    if not ended and mac_address not in metadata.function_ports_in(tree):
        return False
    dhcp_reservations.release(client, ended)
    metadata.set_reservations(tree, [one for one in known if one not in ended])
    metadata.set_function_port(tree, mac_address, None)
    domain.set_marker(metadata.recorded_marker(tree), metadata.MARKER_NAMESPACE)
    return True
