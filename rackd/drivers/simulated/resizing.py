"""Changes cores and memory of a guest on a simulated host."""

from __future__ import annotations

import sqlite3

from attrs import evolve

from common.addresses.simulated import SimulatedAddress
from common.values import Guest, GuestChange, GuestEvent, GuestSize, PowerState, Resized
from rackd.drivers.resizing import check_cores, check_resizable, size_of
from rackd.drivers.simulated import guest_resources, guests
from rackd.drivers.simulated.capacity_checks import check_huge_pages

_SET_SIZE = "update guest set cores = ?, memory_mib = ? where guest_id = ?"


def resize(db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, size: GuestSize) -> Resized:
    """Returns the size that the guest has then: a running one keeps its memory. Raises as the driver contract says."""
    node_ids = guest_resources.memory_nodes(db, guest.guest_id)
    check_resizable(guest, size, on_numa_nodes=bool(node_ids))
    if size.cores > guest.cores:
        check_cores(guest.name, size.cores, address.cores, address.identity)
    if guest.huge_pages_backed and size.memory_mib > guest.memory_mib:
        holders = guest_resources.page_holders(db, besides=guest.guest_id)
        check_huge_pages(address, size.memory_mib, node_ids, holders)
    new = size if guest.power is PowerState.OFF else evolve(size, memory_mib=guest.memory_mib)
    if new != size_of(guest):
        db.execute(_SET_SIZE, (new.cores, new.memory_mib, guest.guest_id))
        guests.record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
    return Resized(size=new, power=guest.power)
