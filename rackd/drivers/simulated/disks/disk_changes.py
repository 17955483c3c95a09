"""Attaches, detaches and grows disks of a guest on a simulated host."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.disks.volume_names import marker_of_volume
from common.errors import DriverFailed, NotFound, WrongState
from common.guests.guest_spec import DiskSpec
from common.guests.sizes import DiskSize, GrownDisk
from common.values import Guest, GuestChange, GuestEvent, GuestRef, PowerState
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.resizing import before_start
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.capacity_checks import check_pool_available, check_pool_exists, check_pool_space
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store
from rackd.drivers.start_refusals import StartChange

_DETACH = "delete from disk where guest_id = ? and pool = ? and volume = ?"
_FORGET_BOOT_DISK = "delete from boot_disk where guest_id = ? and pool = ? and volume = ?"
_USED = "select guest.name from disk join guest using (guest_id) where disk.pool = ? and disk.volume = ?"
_GROW = "update volume set size_bytes = ? where pool = ? and name = ?"


@frozen
class SimulatedDisks:
    """The methods of the driver that change disks. They raise as the driver contract says."""

    _address: SimulatedAddress
    _store: Store
    _faults: FaultInjector

    def attach(self, guest: GuestRef, disk: DiskSpec, *, create: bool) -> PowerState:
        self._faults.call("attach disk")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            _attach(db, self._address, found, disk, create=create)
            return found.power

    def detach(self, guest: GuestRef, pool_id: str, volume: str) -> PowerState:
        self._faults.call("detach disk")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            _detach(db, found, pool_id, volume)
            return found.power

    def grow(self, guest: GuestRef, size: DiskSize) -> GrownDisk:
        self._faults.call("grow disk")
        with self._store.writing() as db:
            return _grow(db, self._address, guests.of_machine(db, self._address, guest), size)


def check_volumes(address: SimulatedAddress, guest: Guest) -> None:
    """Raises DriverFailed, as a hypervisor does at a start, if a disk has no volume."""
    for disk in guest.disks:
        if disk.missing:
            raise DriverFailed(
                f"Cannot start '{guest.name}': its volume {disk.volume} is not in the storage pool {disk.pool_id} of "
                f"{address.identity}."
            )


def grow_before_start(
    db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, sizes: Iterable[DiskSize]
) -> None:
    """Grows disks of a guest that is off; one that cannot grow keeps its size."""
    for size in sizes:
        with before_start(guest.name, StartChange.DISK):
            _grow(db, address, guest, size)


def _attach(db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, disk: DiskSpec, *, create: bool) -> None:
    if _has(guest, disk.pool_id, disk.volume):
        return
    check_pool_exists(address, disk.pool_id)
    check_pool_available(address, disk.pool_id)
    existing = guests.volume_owner(db, disk.pool_id, disk.volume)
    user = db.execute(_USED, (disk.pool_id, disk.volume)).fetchone()
    if user is not None:
        raise WrongState(f"The guest {user['name']} uses the volume {disk.volume}.", volume=disk.volume)
    if existing is not None and create and existing[1] != disk.size_bytes:
        raise WrongState(
            f"The storage pool {disk.pool_id} has a volume {disk.volume} of {existing[1]} bytes already.",
            volume=disk.volume,
        )
    if existing is None:
        if not create:
            raise NotFound(f"The storage pool {disk.pool_id} has no volume {disk.volume}.", volume=disk.volume)
        used_bytes = guests.pool_used_bytes(db, disk.pool_id)
        check_pool_space(address, disk.pool_id, used_bytes, disk.size_bytes, "The disk")
        owner = marker_of_volume(disk.volume)
        guests.add_volume(db, pool=disk.pool_id, name=disk.volume, size_bytes=disk.size_bytes, marker=owner)
    guests.attach(db, guest.guest_id, pool=disk.pool_id, volume=disk.volume, serial=disk.serial)
    _record(db, guest)


def _detach(db: sqlite3.Connection, guest: Guest, pool_id: str, volume: str) -> None:
    if _has(guest, pool_id, volume):
        db.execute(_DETACH, (guest.guest_id, pool_id, volume))
        db.execute(_FORGET_BOOT_DISK, (guest.guest_id, pool_id, volume))
        _record(db, guest)


def _grow(db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, size: DiskSize) -> GrownDisk:
    """Returns the size that the disk has then: as with LXD, one of a running guest keeps it until the next start."""
    disk = next((one for one in guest.disks if (one.pool_id, one.volume) == (size.pool_id, size.volume)), None)
    if disk is None:
        raise disk_not_found(guest.name, size.volume, (one.volume for one in guest.disks))
    if disk.missing:
        raise DriverFailed(f"The size of the disk {size.volume} of {guest.name} is unknown: its volume does not exist.")
    check_pool_available(address, size.pool_id)
    more = size.size_bytes - disk.size_bytes
    if more > 0:
        check_pool_space(address, size.pool_id, guests.pool_used_bytes(db, size.pool_id), more, "The disk")
    if more <= 0 or guest.power is not PowerState.OFF:
        return GrownDisk(size_bytes=disk.size_bytes, power=guest.power)
    db.execute(_GROW, (size.size_bytes, size.pool_id, size.volume))
    _record(db, guest)
    return GrownDisk(size_bytes=size.size_bytes, power=guest.power)


def _has(guest: Guest, pool_id: str, volume: str) -> bool:
    return any((disk.pool_id, disk.volume) == (pool_id, volume) for disk in guest.disks)


def _record(db: sqlite3.Connection, guest: Guest) -> None:
    guests.record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
