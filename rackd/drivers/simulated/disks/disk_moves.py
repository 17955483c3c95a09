"""Copies disks on a simulated host to another storage pool, and gives their guests the copies."""

from __future__ import annotations

import sqlite3

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.disks.disk_content import CopiedDisk
from common.disks.volume_names import marker_of_volume
from common.errors import NotFound, WrongState
from common.guests.guest_spec import DiskSpec
from common.values import Guest, GuestChange, GuestEvent, GuestRef, PowerState
from rackd.drivers.disk_moves import changed_since
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.simulated import deployments, guests
from rackd.drivers.simulated.capacity_checks import check_pool_available, check_pool_exists, check_pool_space
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store

_USERS = "select guest.name from disk join guest using (guest_id) where disk.volume = ? and guest_id <> ?"
_DELETE = "delete from volume where pool = ? and name = ?"
_REPLACE = "update disk set pool = ?, volume = ? where guest_id = ? and pool = ? and volume = ?"
_REPLACE_BOOT_DISK = "update boot_disk set pool = ?, volume = ? where guest_id = ? and pool = ? and volume = ?"
_BEGIN = "insert into live_copy values (?, ?, ?, ?)"
_COPIED = "select state from live_copy where guest_id = ? and pool = ? and volume = ?"
_END = "delete from live_copy where pool = ? and volume = ?"
_STATE = "select coalesce(max(number), 0) from change where guest_id = ? and event = ?"


@frozen
class SimulatedDiskMoves:
    """The methods of the driver that move disks. They raise as the driver contract says."""

    _address: SimulatedAddress
    _store: Store
    _faults: FaultInjector

    def copy(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec) -> CopiedDisk:
        """The volume exists before its content: a call that ends between them leaves an incomplete copy.

        Of a running guest, the first call makes the volume, and a second one its content.
        """
        self._faults.call("copy disk")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            if _has(found, copy.pool_id, copy.volume):
                return CopiedDisk(state="")
            state = _state(db, found)
            if not _is_copied(db, found, copy):
                self._make_volume(db, found, (pool_id, volume), copy)
                if found.power is not PowerState.OFF:
                    db.execute(_BEGIN, (found.guest_id, copy.pool_id, copy.volume, state))
                    return CopiedDisk(state=state, percent=50, done_bytes=copy.size_bytes // 2, is_complete=False)
        self._faults.call("copy content of disk")
        with self._store.writing() as db:
            deployments.copy_written(db, (pool_id, volume), (copy.pool_id, copy.volume))
        return CopiedDisk(state=state, percent=100)

    def _make_volume(self, db: sqlite3.Connection, guest: Guest, source: tuple[str, str], copy: DiskSpec) -> None:
        _check_disk(guest, *source)
        for name in (source[1], copy.volume):
            user = db.execute(_USERS, (name, guest.guest_id)).fetchone()
            if user is not None:
                raise WrongState(f"The guest {user['name']} uses the volume {name}.", volume=name)
        for pool_id in (source[0], copy.pool_id):
            check_pool_exists(self._address, pool_id)
            check_pool_available(self._address, pool_id)
        db.execute(_DELETE, (copy.pool_id, copy.volume))
        used_bytes = guests.pool_used_bytes(db, copy.pool_id)
        check_pool_space(self._address, copy.pool_id, used_bytes, copy.size_bytes, "The copy")
        owner = marker_of_volume(copy.volume)
        guests.add_volume(db, pool=copy.pool_id, name=copy.volume, size_bytes=copy.size_bytes, marker=owner)

    def use(self, guest: GuestRef, pool_id: str, volume: str, copy: DiskSpec, state: str) -> PowerState:
        self._faults.call("use copy of disk")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            if _has(found, copy.pool_id, copy.volume):
                return found.power
            _check_disk(found, pool_id, volume)
            if guests.volume_owner(db, copy.pool_id, copy.volume) is None:
                raise NotFound(f"The storage pool {copy.pool_id} has no volume {copy.volume}.", volume=copy.volume)
            if _state(db, found) != state or (found.power is not PowerState.OFF and not _is_copied(db, found, copy)):
                raise changed_since(found.name, volume)
            if found.power is not PowerState.OFF:  # with what was written since
                deployments.empty(db, copy.pool_id, copy.volume)
                deployments.copy_written(db, (pool_id, volume), (copy.pool_id, copy.volume))
                db.execute(_END, (copy.pool_id, copy.volume))
            for statement in (_REPLACE, _REPLACE_BOOT_DISK):
                db.execute(statement, (copy.pool_id, copy.volume, found.guest_id, pool_id, volume))
            guests.record(
                db, GuestChange(event=GuestEvent.CHANGED, guest_name=found.name, guest_id=found.guest_id)
            )  # fmt: skip
            return found.power


def _state(db: sqlite3.Connection, guest: Guest) -> str:
    """Returns the number of the last change of the guest's power state."""
    return str(db.execute(_STATE, (guest.guest_id, GuestEvent.POWER.value)).fetchone()[0])


def _is_copied(db: sqlite3.Connection, guest: Guest, copy: DiskSpec) -> bool:
    """Returns whether the guest has copied its disk to the volume since it was last started or stopped."""
    found = db.execute(_COPIED, (guest.guest_id, copy.pool_id, copy.volume)).fetchone()
    return found is not None and bool(found["state"] == _state(db, guest)) and guest.power is not PowerState.OFF


def _check_disk(guest: Guest, pool_id: str, volume: str) -> None:
    if not _has(guest, pool_id, volume):
        raise disk_not_found(guest.name, volume, (one.volume for one in guest.disks))


def _has(guest: Guest, pool_id: str, volume: str) -> bool:
    return any((disk.pool_id, disk.volume) == (pool_id, volume) for disk in guest.disks)
