"""Switches simulated guests on and off: pending changes take effect, and deployed guests boot and report."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from attrs import evolve, frozen

from common.addresses.simulated import SimulatedAddress
from common.boot import BootOnce
from common.guests.sizes import DiskSize, GuestSize
from common.values import Autostart, Guest, GuestRef, PowerState
from rackd.drivers.resizing import before_start
from rackd.drivers.simulated import boot_orders, deployments, guests, leases, resizing
from rackd.drivers.simulated.boots import SimulatedBoots
from rackd.drivers.simulated.disks import disk_changes
from rackd.drivers.simulated.facts import host_networks
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store
from rackd.drivers.start_order import before_boot


@frozen
class SimulatedPower:
    """Each switch is one call and one transaction. Without `_boots`, guests never report."""

    _address: SimulatedAddress
    _path: Path
    _store: Store
    _faults: FaultInjector
    _boots: SimulatedBoots | None

    def switch(
        self,
        guest: GuestRef,
        power: PowerState,
        autostart: Autostart | None = None,
        size: GuestSize | None = None,
        disk_sizes: tuple[DiskSize, ...] = (),
        once: BootOnce | None = None,
    ) -> PowerState:
        self._faults.call("power")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            if power is PowerState.ON and found.power is not PowerState.ON:
                disk_changes.check_volumes(self._address, found)
            if power is PowerState.OFF or found.power is PowerState.OFF:
                boot_orders.apply_pending(db, found.guest_id)
            if power is PowerState.ON and found.power is PowerState.OFF:
                self._prepare_start(db, found, size, disk_sizes, once)
            guests.set_power(db, found, power)
            if autostart is not None:
                guests.set_autostart(db, evolve(found, power=power), autostart)
            boots = self._boot(db, found, power)
        if boots and self._boots is not None:
            self._boots.add(self._path, found.guest_id, after_s=self._address.boot_ms / 1000)
        return power

    def _prepare_start(
        self,
        db: sqlite3.Connection,
        guest: Guest,
        size: GuestSize | None,
        disk_sizes: tuple[DiskSize, ...],
        once: BootOnce | None,
    ) -> None:
        if size is not None:
            with before_start(guest.name):
                resizing.resize(db, self._address, guest, size)
        disk_changes.grow_before_start(db, self._address, guest, disk_sizes)
        if once is not None:
            with before_boot(guest.name):
                boot_orders.boot_once(db, guest, once)

    def _boot(self, db: sqlite3.Connection, guest: Guest, power: PowerState) -> bool:
        """Records the boot in the transaction of the power change. Returns whether the guest will report."""
        if power is not PowerState.ON:
            deployments.end_boot(db, guest.guest_id)
            return False
        if guest.power is PowerState.ON or self._address.boot == "fails":
            return False
        boots = deployments.begin_boot(db, guest.guest_id, after_s=self._address.boot_ms / 1000)
        if boots:
            leases.assign(db, guest.guest_id, host_networks(self._address))
        return boots
