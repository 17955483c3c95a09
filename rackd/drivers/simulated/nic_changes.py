"""Attaches and detaches NICs of a guest on a simulated host."""

from __future__ import annotations

import json
import sqlite3

from attrs import frozen

from common.addresses.simulated import SimulatedAddress
from common.guests.guest_spec import NicSpec
from common.serialization import to_dict
from common.values import Guest, GuestChange, GuestEvent, GuestRef, NicKind, PowerState
from rackd.drivers.changed_nics import changed_nic, check_replaceable
from rackd.drivers.simulated import guest_resources, guests, leases
from rackd.drivers.simulated.capacity_checks import check_functions, check_nic_source
from rackd.drivers.simulated.facts import host_networks
from rackd.drivers.simulated.fault_injection import FaultInjector
from rackd.drivers.simulated.store import Store

_POSITION = "select coalesce(max(position) + 1, 0) from nic where guest_id = ?"
_DETACH_SETTINGS = """
    delete from nic_settings
     where guest_id = ?
       and position = (select position from nic where nic.guest_id = nic_settings.guest_id and lower(mac_address) = ?)
"""
_DETACH = "delete from nic where guest_id = ? and lower(mac_address) = ?"
_POSITION_OF = "select position from nic where guest_id = ? and lower(mac_address) = ?"
_CHANGE = "update nic set mac_address = ?, kind = ?, source = ? where guest_id = ? and position = ?"
_CHANGE_SETTINGS = "insert or replace into nic_settings values (?, ?, ?)"
_FORGET_LEASE = "delete from lease where lower(mac_address) = ?"


@frozen
class SimulatedNics:
    """The methods of the driver that change NICs. They raise as the driver contract says."""

    _address: SimulatedAddress
    _store: Store
    _faults: FaultInjector

    def attach(self, guest: GuestRef, nic: NicSpec) -> PowerState:
        self._faults.call("attach NIC")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            _attach(db, self._address, found, nic)
            return found.power

    def change(self, guest: GuestRef, mac_address: str, nic: NicSpec) -> PowerState:
        self._faults.call("change NIC")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            _change(db, self._address, found, mac_address, nic)
            return found.power

    def detach(self, guest: GuestRef, mac_address: str) -> PowerState:
        self._faults.call("detach NIC")
        with self._store.writing() as db:
            found = guests.of_machine(db, self._address, guest)
            _detach(db, found, mac_address)
            return found.power


def _attach(db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, nic: NicSpec) -> None:
    if _has(guest, nic.mac_address):
        return
    check_nic_source(address, nic)
    check_functions(address, [nic], guest_resources.functions_taken(db))
    guest_resources.check_addresses_free(db, guest.guest_id, [nic])
    position = db.execute(_POSITION, (guest.guest_id,)).fetchone()[0]
    row = (guest.guest_id, position, nic.mac_address, nic.kind.value, nic.source)
    db.execute("insert into nic values (?, ?, ?, ?, ?)", row)
    db.execute("insert into nic_settings values (?, ?, ?)", (guest.guest_id, position, json.dumps(to_dict(nic))))
    if leases.has_asked(db, guest.guest_id):
        leases.assign(db, guest.guest_id, host_networks(address))
    _record(db, guest)


def _change(db: sqlite3.Connection, address: SimulatedAddress, guest: Guest, mac_address: str, nic: NicSpec) -> None:
    replaced = changed_nic(guest, mac_address, nic)
    check_replaceable(guest, replaced, nic)
    check_nic_source(address, nic)
    taken = dict(guest_resources.functions_taken(db))
    if replaced.kind is NicKind.SRIOV:
        taken[replaced.source] -= 1
    check_functions(address, [nic], taken)
    guest_resources.check_addresses_free(db, guest.guest_id, [nic])
    old, new = replaced.mac_address.lower(), nic.mac_address
    position = db.execute(_POSITION_OF, (guest.guest_id, old)).fetchone()[0]
    asked = leases.has_asked(db, guest.guest_id)
    db.execute(_FORGET_LEASE, (old,))
    db.execute(_CHANGE, (new, nic.kind.value, nic.source, guest.guest_id, position))
    db.execute(_CHANGE_SETTINGS, (guest.guest_id, position, json.dumps(to_dict(nic))))
    if asked:
        leases.assign(db, guest.guest_id, host_networks(address))
    _record(db, guest)


def _detach(db: sqlite3.Connection, guest: Guest, mac_address: str) -> None:
    if _has(guest, mac_address):
        owner = (guest.guest_id, mac_address.lower())
        db.execute(_DETACH_SETTINGS, owner)
        db.execute(_DETACH, owner)
        db.execute(_FORGET_LEASE, (mac_address.lower(),))
        _record(db, guest)


def _has(guest: Guest, mac_address: str) -> bool:
    return any(nic.mac_address.lower() == mac_address.lower() for nic in guest.nics)


def _record(db: sqlite3.Connection, guest: Guest) -> None:
    guests.record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
