"""Composes guests on a simulated host."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import structlog

from common.addresses.simulated import SimulatedAddress
from common.errors import InnkeeperError, NameTaken
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.values import Guest
from rackd.drivers.simulated import guest_resources, guests
from rackd.drivers.simulated.capacity_checks import (
    check_capacity,
    check_pool_available,
    check_pool_space,
    check_resources_exist,
)
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class SimulatedComposer:
    def __init__(self, address: SimulatedAddress, store: Store, faults: FaultInjector) -> None:
        self._address = address
        self._store = store
        self._faults = faults

    def compose(
        self,
        spec: GuestSpec,
        *,
        fill: Callable[[], None] = lambda: None,
        defined: Callable[[sqlite3.Connection, Guest], None] = lambda _db, _guest: None,
    ) -> Guest:
        """Behaves as the driver contract says. `fill` is called when the volumes exist, `defined` with the guest."""
        found = self._existing(spec)
        if found is not None:
            return found
        try:
            for disk in spec.disks:
                self._make_volume(disk, spec)
            fill()
            return self._define(spec, defined)
        except InnkeeperError:
            self._remove_leftovers(spec)
            raise

    def _existing(self, spec: GuestSpec) -> Guest | None:
        """Returns the guest of an earlier attempt. Raises the errors that are known before anything is created."""
        self._faults.call("find existing guest")
        with self._store.reading() as db:
            found = guests.by_marker(db, spec.marker)
            if found is None:
                self._check_name_free(db, spec)
        if found is None:
            check_resources_exist(self._address, spec)
        return found

    def _check_name_free(self, db: sqlite3.Connection, spec: GuestSpec) -> None:
        if guests.name_exists(db, spec.name):
            raise NameTaken(
                f"{self._address.identity} has a guest named '{spec.name}' that is not machine "
                f"{spec.marker.machine_id}.",
                name=spec.name,
            )

    def _make_volume(self, disk: DiskSpec, spec: GuestSpec) -> None:
        self._faults.call("create volume")
        check_pool_available(self._address, disk.pool_id)
        with self._store.writing() as db:
            owner = guests.volume_owner(db, disk.pool_id, disk.volume)
            if owner == (spec.marker, disk.size_bytes):
                return  # created by an earlier attempt
            if owner is not None:
                raise NameTaken(
                    f"The storage pool {disk.pool_id} of {self._address.identity} has a volume '{disk.volume}' of "
                    f"{owner[1]} bytes that does not belong to this disk.",
                    name=disk.volume,
                )
            used_bytes = guests.pool_used_bytes(db, disk.pool_id)
            check_pool_space(self._address, disk.pool_id, used_bytes, disk.size_bytes, "The disk")
            guests.add_volume(db, pool=disk.pool_id, name=disk.volume, size_bytes=disk.size_bytes, marker=spec.marker)

    def _define(self, spec: GuestSpec, defined: Callable[[sqlite3.Connection, Guest], None]) -> Guest:
        """Checks again inside the transaction: another process may have defined the guest."""
        self._faults.call("define guest")
        with self._store.writing() as db:
            found = guests.by_marker(db, spec.marker)
            if found is not None:
                return found
            self._check_name_free(db, spec)
            check_capacity(self._address, spec, guest_resources.page_holders(db), guest_resources.functions_taken(db))
            guest = guests.add_guest(db, spec)
            defined(db, guest)
            return guest

    def _remove_leftovers(self, spec: GuestSpec) -> None:
        """Leaves the volumes to the next attempt or to `decompose` if it fails; the first error is reported."""
        try:
            self._faults.call("remove volumes")
            with self._store.writing() as db:
                guests.remove_volumes(db, [(disk.pool_id, disk.volume) for disk in spec.disks], spec.marker)
        except InnkeeperError as error:
            log.warning("simulated_volumes_not_deleted", host=self._address.name, guest=spec.name, reason=str(error))
