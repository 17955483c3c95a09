"""Replaces a NIC of a domain: another network, another MAC address, or both.

A running domain gets another network without the help of its system: QEMU keeps the device, and libvirt connects it
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from xml.etree import ElementTree as ET

import structlog
from attrs import frozen

from common.errors import DriverFailed, HostUnreachable, InnkeeperError, Unsupported, WrongState
from common.guests.guest_spec import NicSpec
from common.values import GuestNic, GuestRef, NicKind, PowerState
from rackd.drivers.changed_nics import changed_nic, check_replaceable
from rackd.drivers.driver_errors import required_guest
from rackd.drivers.libvirt.addresses import dhcp_reservations
from rackd.drivers.libvirt.addresses.delivery import Reservation, check_addresses
from rackd.drivers.libvirt.connection.client import Client
from rackd.drivers.libvirt.connection.objects import Domain
from rackd.drivers.libvirt.definitions import metadata
from rackd.drivers.libvirt.definitions.nic_xml import (
    VirtualFunction,
    check_nic,
    nic_at,
    nic_element,
    put_in_place,
    replaced_nic,
    same_function,
)
from rackd.drivers.libvirt.guests import sriov
from rackd.drivers.libvirt.guests.live_devices import check_next_start_is_boot, live_of
from rackd.drivers.libvirt.guests.lookup import definition_of, marked_domain, read_guest, tree_of
from rackd.drivers.libvirt.guests.nic_sources import check_sources

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


def change(client: Client, guest: GuestRef, mac_address: str, nic: NicSpec) -> PowerState:
    """Returns the power state. Raises as the driver contract says.

    The domain records the reservations of before and after until it has the NIC, so that whatever is left of an
    attempt that the host did not finish is found by a further one and by the deletion of the guest.
    """
    check_nic(nic)
    check_addresses([nic])
    domain = required_guest(marked_domain(client, guest), guest)
    found = read_guest(client, domain)
    replaced = changed_nic(found, mac_address, nic)
    check_replaceable(found, replaced, nic)
    check_next_start_is_boot(domain, "NICs")
    check_sources(client, [nic])
    record = _Record.of(domain, {mac_address.lower(), nic.mac_address.lower()})
    after = dhcp_reservations.plan_delivery(client, [nic], replaced=record.reservations).reservations
    functions = {} if _keeps_function(replaced, nic) else sriov.choose(client, guest, [nic])
    definition = domain.whole_definition()
    record.write(domain, {*record.reservations, *after}, {**_port_of(nic), **record.ports})
    try:
        dhcp_reservations.replace(client, record.reservations, after)
        _put(client, domain, replaced, nic, functions.get(nic.mac_address))
        sriov.check_still_free(client, guest, functions)
    except HostUnreachable:
        raise
    except BaseException:
        with _logged(domain, nic.mac_address):
            if not domain.is_active():
                client.define(definition, domain.name)
            dhcp_reservations.replace(client, after, record.reservations)
            record.write(domain, record.reservations, record.ports)
        raise
    record.write(domain, after, _port_of(nic))
    log.info("nic_changed", guest=domain.name, mac_address=nic.mac_address, kind=nic.kind, source=nic.source)
    return found.power


@frozen(kw_only=True)
class _Record:
    """Metadata of a domain about its NICs with the MAC addresses `macs` (lower case)."""

    macs: frozenset[str]
    reservations: tuple[Reservation, ...]
    ports: Mapping[str, str]  # of virtual functions, by MAC address

    @classmethod
    def of(cls, domain: Domain, macs: Iterable[str]) -> _Record:
        tree, wanted = tree_of(domain), frozenset(macs)
        return cls(
            macs=wanted,
            reservations=tuple(one for one in metadata.reservations_in(tree) if one.mac_address in wanted),
            ports={mac: port for mac, port in metadata.function_ports_in(tree).items() if mac in wanted},
        )

    def write(self, domain: Domain, reservations: Iterable[Reservation], ports: Mapping[str, str]) -> None:
        """Replaces what the metadata have of these NICs, unless they have it already."""
        now, wanted = _Record.of(domain, self.macs), set(reservations)
        if set(now.reservations) == wanted and now.ports == ports:
            return
        tree = tree_of(domain)
        others = [one for one in metadata.reservations_in(tree) if one.mac_address not in self.macs]
        metadata.set_reservations(tree, (*others, *sorted(wanted)))
        for mac in self.macs:
            metadata.set_function_port(tree, mac, ports.get(mac))
        domain.set_marker(metadata.recorded_marker(tree), metadata.MARKER_NAMESPACE)


def _port_of(nic: NicSpec) -> Mapping[str, str]:
    return {nic.mac_address.lower(): nic.source} if nic.kind is NicKind.SRIOV else {}


def _keeps_function(replaced: GuestNic, nic: NicSpec) -> bool:
    return nic.kind is NicKind.SRIOV and (replaced.kind, replaced.source) == (nic.kind, nic.source)


def _put(client: Client, domain: Domain, replaced: GuestNic, nic: NicSpec, function: VirtualFunction | None) -> None:
    definition = definition_of(domain)
    old = nic_at(definition, replaced.mac_address)
    if old is None:
        raise WrongState(
            f"The definition of {domain.name} does not have the NIC {replaced.mac_address}, which {domain.name} loses "
            "when it is next shut down.",
            name=domain.name,
        )
    keeps = _keeps_function(replaced, nic)
    new = same_function(old, nic) if keeps else replaced_nic(old, nic_element(nic, function, boot_order=None))
    if live_of(domain) is None:
        put_in_place(definition, old, new)
        client.define(ET.tostring(definition, encoding="unicode"), domain.name)
        return
    try:
        domain.update_live(ET.tostring(new, encoding="unicode"))
    except (DriverFailed, Unsupported) as error:
        raise WrongState(
            f"The NIC {nic.mac_address} of {domain.name} cannot be changed while it runs: {error}. It can while "
            f"{domain.name} is off.",
            name=domain.name,
        ) from error


@contextmanager
def _logged(domain: Domain, mac_address: str) -> Iterator[None]:
    """Logs why a failed attempt is not undone."""
    try:
        yield
    except InnkeeperError as error:
        log.warning("failed_change_not_undone", guest=domain.name, mac_address=mac_address, reason=str(error))
