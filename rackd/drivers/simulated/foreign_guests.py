"""Creates the foreign guests that the address of a simulated host asks for."""

from __future__ import annotations

import sqlite3

from common.addresses.simulated import SimulatedAddress
from common.guests.guest_spec import DiskSpec
from common.units import BYTES_PER_GB
from common.values import PowerState
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.facts import pool_names

FOREIGN_CORES = 1
FOREIGN_MEMORY_MIB = 1024
FOREIGN_DISK_BYTES = BYTES_PER_GB


def create_once(db: sqlite3.Connection, address: SimulatedAddress) -> None:
    """Creates them when the file is new, and never again."""
    if db.execute("select 1 from seeded").fetchone():
        return
    db.execute("insert into seeded values (datetime('now'))")
    wanted: list[tuple[str, int, int, guests.Pinning | None]] = [
        (f"foreign-{number:04}", FOREIGN_CORES, FOREIGN_MEMORY_MIB, None) for number in range(1, address.guests + 1)
    ]
    for number, one in enumerate(address.pinned_guests, start=1):
        pinning = guests.Pinning(core_ids=one.core_ids, huge_pages=one.huge_pages)
        wanted.append((f"pinned-{number:04}", len(one.core_ids), one.memory_mib, pinning))
    for name, cores, memory_mib, pins in wanted:
        pool = pool_names(address)[0]
        disk = DiskSpec(volume=name, pool_id=pool, size_bytes=FOREIGN_DISK_BYTES, serial=name)
        guests.add_foreign_guest(
            db, name, cores=cores, memory_mib=memory_mib, disk=disk, power=PowerState.ON, pinning=pins
        )
