"""Decides which addresses of guests are recorded, and what changes when a host reports them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, ip_address
from uuid import UUID

from attrs import frozen

from common.values import Guest, GuestNic, PowerState
from regiond.networks.model import Address

MAX_ADDRESSES = 16  # of one NIC
_THIS_NETWORK = IPv4Network("0.0.0.0/8")


@frozen(kw_only=True)
class NicRecord:
    """A NIC of a machine, with the addresses that were recorded."""

    id: int
    machine_uuid: UUID
    mac_address: str
    addresses: frozenset[Address]


@frozen(kw_only=True)
class AddressChanges:
    """Pairs of the NIC's id and an address."""

    added: tuple[tuple[int, Address], ...]
    removed: tuple[tuple[int, Address], ...]


def address_changes(nics: Iterable[NicRecord], guests: Sequence[Guest], *, installation_id: UUID) -> AddressChanges:
    """Returns the changes: every address of guests that are off ends, none of NICs whose addresses are unknown."""
    reported = {(machine, nic.mac_address.lower()): nic for machine, nic in _reported(guests, installation_id)}
    off = {
        machine
        for guest in guests
        if guest.power is PowerState.OFF and (machine := _machine_of(guest, installation_id)) is not None
    }
    added: list[tuple[int, Address]] = []
    removed: list[tuple[int, Address]] = []
    for nic in nics:
        found = reported.get((nic.machine_uuid, nic.mac_address.lower()))
        now: tuple[Address, ...] | None = None
        if nic.machine_uuid in off:
            now = ()
        elif found is not None and found.addresses is not None:
            now = usable_addresses_of(found.addresses)
        if now is not None:
            added += [(nic.id, address) for address in now if address not in nic.addresses]
            removed += [(nic.id, address) for address in sorted(nic.addresses - set(now), key=str)]
    return AddressChanges(added=tuple(added), removed=tuple(removed))


def usable_addresses_of(reported: Iterable[str]) -> tuple[Address, ...]:
    """Returns at most MAX_ADDRESSES at which others can reach the guest, without repetitions, IPv4 first.

    Omits what is no address, loopback, link-local and multicast addresses.
    """
    found = dict.fromkeys(address for text in reported if (address := _usable(text)) is not None)
    return tuple(sorted(found, key=lambda one: one.version)[:MAX_ADDRESSES])


def _usable(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    unusable = (
        address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address in _THIS_NETWORK
        or "%" in text
    )
    return None if unusable else address


def _reported(guests: Iterable[Guest], installation_id: UUID) -> Iterator[tuple[UUID, GuestNic]]:
    for guest in guests:
        machine = _machine_of(guest, installation_id)
        if machine is not None:
            yield from ((machine, nic) for nic in guest.nics)


def _machine_of(guest: Guest, installation_id: UUID) -> UUID | None:
    """If listings do not show the marker of an adopted guest, its id identifies it."""
    if guest.marker is not None:
        return guest.marker.machine_id if guest.marker.installation_id == installation_id else None
    try:
        return UUID(guest.guest_id)
    except ValueError:
        return None
