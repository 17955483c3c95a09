"""Composes guests of a simulated host with copies of the disks of another guest."""

from __future__ import annotations

import sqlite3

from attrs import evolve, frozen

from common.addresses.simulated import SimulatedAddress
from common.errors import Busy
from common.guests.guest_content import GuestContent
from common.guests.guest_spec import GuestSpec
from common.values import Guest, GuestEvent
from rackd.drivers.disk_moves import check_off
from rackd.drivers.driver_errors import disk_not_found
from rackd.drivers.simulated import deployments, guests
from rackd.drivers.simulated.composer import SimulatedComposer
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store

_STATE = "select coalesce(max(number), 0) from change where guest_id = ? and event = ?"


@frozen
class SimulatedCloner:
    """The method of the driver that clones. It raises as the driver contract says."""

    _address: SimulatedAddress
    _store: Store
    _faults: FaultInjector
    _composer: SimulatedComposer

    def clone(self, spec: GuestSpec, content: GuestContent) -> Guest:
        """The volumes exist before their content, and the guest after it: a call that ends between them leaves
        volumes without a guest."""
        state = ""
        self._faults.call("find source of clone")
        with self._store.writing() as db:
            if guests.by_marker(db, spec.marker) is None:
                source = self._source(db, content)
                state = _state(db, source)
                spec = evolve(spec, uefi=bool(source.uefi))
                leftover = [(disk.pool_id, disk.volume) for disk in spec.disks]
                guests.remove_volumes(db, leftover, spec.marker)
                for pool_id, volume in leftover:
                    deployments.empty(db, pool_id, volume)

        def fill() -> None:
            self._faults.call("copy content of guest")
            with self._store.writing() as db:
                now = self._source(db, content)
                if _state(db, now) != state:
                    raise Busy(f"{now.name} was started while its disks were copied. They are copied again.")
                for disk, original in zip(spec.disks, content.disks, strict=True):
                    if original is not None:
                        deployments.copy_written(
                            db, (original.pool_id, original.volume), (disk.pool_id, disk.volume)
                        )  # fmt: skip

        def deploy(db: sqlite3.Connection, guest: Guest) -> None:
            deployments.copy_image(db, self._source(db, content).guest_id, guest.guest_id, content.seed)

        return self._composer.compose(spec, fill=fill, defined=deploy)

    def _source(self, db: sqlite3.Connection, content: GuestContent) -> Guest:
        found = guests.of_machine(db, self._address, content.source)
        check_off(found.name, found.power)
        has = {(disk.pool_id, disk.volume) for disk in found.disks}
        for disk in content.disks:
            if disk is not None and (disk.pool_id, disk.volume) not in has:
                raise disk_not_found(found.name, disk.volume, (one.volume for one in found.disks))
        return found


def _state(db: sqlite3.Connection, guest: Guest) -> str:
    """Returns the number of the last change of the guest's power state."""
    return str(db.execute(_STATE, (guest.guest_id, GuestEvent.POWER.value)).fetchone()[0])
