"""The settings of guests that Innkeeper shows: their SQL, and the driver's methods that change them."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from common.boot import StartOrder
from common.guest_facts import GuestSettings
from common.guests.guest_spec import GuestSpec
from common.values import Guest, GuestRef

TABLES = """
create table if not exists start_order (
    guest_id text primary key references guest on delete cascade,
    priority integer not null,
    delay_s  integer not null
) strict;
create table if not exists uefi (
    guest_id text primary key references guest on delete cascade
) strict;
create table if not exists firmware (
    guest_id    text primary key references guest on delete cascade,
    secure_boot integer not null,
    tpm         integer not null
) strict;
"""
# Of a statement that selects from `guest`.
COLUMNS = """
    start_order.priority, start_order.delay_s, uefi.guest_id is not null as uefi, firmware.secure_boot, firmware.tpm
"""
JOINS = "left join start_order using (guest_id) left join uefi using (guest_id) left join firmware using (guest_id)"


def settings_of(row: sqlite3.Row) -> GuestSettings:
    return GuestSettings(
        start_order=StartOrder(priority=row["priority"] or 0, delay_s=row["delay_s"] or 0),
        uefi=bool(row["uefi"]),
        secure_boot=bool(row["secure_boot"]),
        tpm=bool(row["tpm"]),
    )


def add(db: sqlite3.Connection, guest_id: str, spec: GuestSpec) -> None:
    """Stores the settings with which the guest was composed."""
    if spec.uefi or spec.secure_boot:
        db.execute("insert into uefi values (?)", (guest_id,))
    db.execute("insert into firmware values (?, ?, ?)", (guest_id, spec.secure_boot, spec.tpm))


class SimulatedSettings(ABC):
    """A part of the driver: each method that changes a setting."""

    @abstractmethod
    def _changing(self, what: str, guest: GuestRef) -> AbstractContextManager[tuple[sqlite3.Connection, Guest]]: ...

    def set_start_order(self, guest: GuestRef, order: StartOrder) -> StartOrder:
        """As LXD has it. Simulated hosts never start, so that it has no effect."""
        values = (order.priority, order.delay_s)
        with self._changing("set start order", guest) as (db, found):
            db.execute("insert or replace into start_order values (?, ?, ?)", (found.guest_id, *values))
        return order
