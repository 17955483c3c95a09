"""Changes cores and memory of a guest on a simulated host."""

from __future__ import annotations

import sqlite3

from attrs import evolve

from common.addresses.simulated import SimulatedAddress
from common.guests.guest_placement import GuestPlacement, PlacedGuest
from common.guests.sizes import GuestSize, Resized
from common.values import Guest, GuestChange, GuestEvent, PowerState
from rackd.drivers.resizing import check_cores, check_resizable, needs_placing, size_of
from rackd.drivers.simulated import guest_resources, guests
from rackd.drivers.simulated.capacity_checks import check_cores_and_nodes, check_huge_pages

_MAXIMUM_MIB = "select memory_mib from maximum where guest_id = ?"
_SET_SIZE = "update guest set cores = ?, memory_mib = ? where guest_id = ?"


def resize(db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, size: GuestSize) -> Resized:
    """Returns the size that the guest has then: a running one keeps its memory, unless it was composed to get more.

    Raises as the driver contract says.
    """
    node_ids = guest_resources.memory_nodes(db, guest.guest_id)
    check_resizable(guest, size, on_numa_nodes=bool(node_ids))
    if size.cores > guest.cores:
        check_cores(guest.name, size.cores, address.cores, address.identity)
    if guest.huge_pages_backed and size.memory_mib > guest.memory_mib:
        holders = guest_resources.page_holders(db, besides=guest.guest_id)
        check_huge_pages(address, size.memory_mib, node_ids, holders)
    new = size if guest.power is PowerState.OFF else evolve(size, memory_mib=_while_running(db, guest, size))
    if new != size_of(guest):
        db.execute(_SET_SIZE, (new.cores, new.memory_mib, guest.guest_id))
        guests.record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
    return Resized(size=new, power=guest.power)


def resize_placed(
    db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, size: GuestSize, placement: GuestPlacement
) -> Resized:
    """Returns the size of the guest once it has it and the placement. Raises as the driver contract says."""
    if not needs_placing(guest, size, placement):
        return Resized(size=size, power=guest.power)
    check_cores_and_nodes(address, PlacedGuest.of(guest.name, size, placement))
    if size.cores > guest.cores:
        check_cores(guest.name, size.cores, address.cores, address.identity)
    if placement.huge_page_size_kib is not None:
        holders = guest_resources.page_holders(db, besides=guest.guest_id)
        nodes, size_kib = placement.numa_node_ids, placement.huge_page_size_kib
        check_huge_pages(address, size.memory_mib, nodes, holders, size_kib=size_kib)
    db.execute(_SET_SIZE, (size.cores, size.memory_mib, guest.guest_id))
    guest_resources.place(db, guest.guest_id, placement)
    guests.record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
    return Resized(size=size, power=guest.power)


def _while_running(db: sqlite3.Connection, guest: Guest, size: GuestSize) -> int:
    """Returns the memory in MiB that a running guest has then."""
    row = db.execute(_MAXIMUM_MIB, (guest.guest_id,)).fetchone()
    maximum_mib = 0 if row is None else int(row["memory_mib"])
    return size.memory_mib if guest.memory_mib < size.memory_mib <= maximum_mib else guest.memory_mib
