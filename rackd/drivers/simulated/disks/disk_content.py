"""Keeps the content of disks on a simulated host, of which it stores what was written."""

from __future__ import annotations

import sqlite3

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.boot import BootDevice
from common.disks.disk_content import MAX_PART_BYTES, DiskPart, ReadPart
from common.errors import WrongState
from common.guests.guest_spec import GuestSpec
from common.values import Guest, GuestChange, GuestEvent, GuestRef
from rackd.drivers.disk_moves import check_off
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.simulated import boot_orders, guests
from rackd.drivers.simulated.capacity_checks import check_pool_available
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store

_NEXT = """
    select at, data from content where pool = ? and volume = ? and at + length(data) > ? order by at limit 1
"""
_OVERLAPS = """
    select at, data from content where pool = ? and volume = ? and at < ? and at + length(data) > ? order by at
"""
_DELETE = "delete from content where pool = ? and volume = ? and at = ?"
_STORE = "insert or replace into content values (?, ?, ?, ?)"
_WRITTEN = "insert or ignore into written values (?, ?)"
_STATE = "select coalesce(max(number), 0) from change where guest_id = ? and event = ?"


@frozen
class SimulatedDiskContent:
    """The methods of the driver that read and write disks. They raise as the driver contract says."""

    _address: SimulatedAddress
    _store: Store
    _faults: FaultInjector

    def begin_read(self, guest: GuestRef, pool_id: str, volume: str) -> None:
        """Makes nothing: disks are read as they are."""
        self._faults.call("begin read")
        with self._store.reading() as db:
            self._size_of(guests.of_machine(db, self._address, guest), pool_id, volume)

    def end_read(self) -> None:
        self._faults.call("end read")

    def read(self, guest: GuestRef, pool_id: str, volume: str, start: int) -> ReadPart:
        self._faults.call("read disk")
        with self._store.reading() as db:
            found = guests.of_machine(db, self._address, guest)
            size_bytes = self._size_of(found, pool_id, volume)
            row = db.execute(_NEXT, (pool_id, volume, start)).fetchone()
            state = str(db.execute(_STATE, (found.guest_id, GuestEvent.POWER.value)).fetchone()[0])
        if row is None:
            part = DiskPart(start=start, offset=max(start, size_bytes))
        else:
            offset = max(start, row["at"])
            part = DiskPart(start=start, offset=offset, data=row["data"][offset - row["at"] :][:MAX_PART_BYTES])
        return ReadPart(part=part, size_bytes=size_bytes, state=state)

    def write(self, guest: GuestRef, pool_id: str, volume: str, part: DiskPart) -> None:
        self._faults.call("write disk")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            size_bytes = self._size_of(found, pool_id, volume)
            if not 0 <= part.start <= part.offset <= part.end <= size_bytes:
                raise WrongState(f"{volume} has {size_bytes} bytes; {part.start} to {part.end} are not on it.")
            _clear(db, (pool_id, volume), part.start, part.end)
            if part.data:
                db.execute(_WRITTEN, (pool_id, volume))
                db.execute(_STORE, (pool_id, volume, part.offset, part.data))

    def make_bootable(self, spec: GuestSpec) -> None:
        self._faults.call("make bootable")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, spec.ref)
            check_off(found.name, found.power)
            boot_orders.set_order(db, found, (BootDevice.DISK,), check_only=False)
            guests.record(
                db, GuestChange(event=GuestEvent.CHANGED, guest_name=found.name, guest_id=found.guest_id)
            )  # fmt: skip

    def _size_of(self, guest: Guest, pool_id: str, volume: str) -> int:
        check_off(guest.name, guest.power)
        check_pool_available(self._address, pool_id)
        for disk in guest.disks:
            if (disk.pool_id, disk.volume) == (pool_id, volume) and not disk.missing:
                return disk.size_bytes
        raise disk_not_found(guest.name, volume, (one.volume for one in guest.disks))


def _clear(db: sqlite3.Connection, place: tuple[str, str], start: int, end: int) -> None:
    """Keeps what stored parts have outside of the range."""
    for row in db.execute(_OVERLAPS, (*place, end, start)).fetchall():
        at, data = row["at"], row["data"]
        db.execute(_DELETE, (*place, at))
        if at < start:
            db.execute(_STORE, (*place, at, data[: start - at]))
        if at + len(data) > end:
            db.execute(_STORE, (*place, end, data[end - at :]))
