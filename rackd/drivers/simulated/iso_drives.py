"""The ISO images in the drives of simulated guests, which running ones take and give back at once."""

from __future__ import annotations

import sqlite3

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.boot import IsoState
from common.errors import ImageMissing
from common.values import Guest, GuestChange, GuestEvent, GuestRef, PowerState
from rackd.drivers.simulated import deployments, guests
from rackd.drivers.simulated.capacity_checks import check_pool_exists
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store

_INSERT = "insert or replace into iso values (?, ?)"
_EJECT = "delete from iso where guest_id = ?"


@frozen
class SimulatedIsoDrives:
    """The methods of the driver for ISO images. They raise as the driver contract says."""

    _address: SimulatedAddress
    _store: Store
    _faults: FaultInjector

    def insert(self, guest: GuestRef, sha256: str, pool_id: str, *, check_only: bool) -> IsoState:
        self._faults.call("insert ISO")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            check_pool_exists(self._address, pool_id)
            if check_only:
                return _state(found, found.iso)
            if (pool_id, sha256) not in {(one.pool_id, one.sha256) for one in deployments.image_copies(db)}:
                raise ImageMissing(f"The storage pool {pool_id} of {self._address.identity} lacks the image.")
            db.execute(_INSERT, (found.guest_id, sha256))
            return _changed(db, found, sha256)

    def eject(self, guest: GuestRef) -> IsoState:
        self._faults.call("eject ISO")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            db.execute(_EJECT, (found.guest_id,))
            return _changed(db, found, "")


def _changed(db: sqlite3.Connection, guest: Guest, iso: str) -> IsoState:
    if guest.iso != iso:
        guests.record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
    return _state(guest, iso)


def _state(guest: Guest, iso: str) -> IsoState:
    return IsoState(now=iso, after=iso, runs=guest.power is not PowerState.OFF)
