"""Simulated hosts of a schedule: their guests and volumes, what administrators change, and outages."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from attrs import define, field, frozen

from common.addresses.simulated import SimulatedAddress
from common.errors import HostUnreachable
from common.guests.guest_spec import DiskSpec
from common.values import HostAccess, PeerIdentity, PowerState
from rackd.drivers.contract import Driver
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.driver import SimulatedDriver
from rackd.drivers.simulated.store import Store

GB = 10**9

_GUESTS = """
    select g.guest_id, g.name, g.power, g.cores, g.memory_mib, g.machine_id, p.core_ids, p.huge_pages,
           (select json_group_array(json_array(d.pool, d.volume, d.serial, v.size_bytes))
              from disk d join volume v on v.pool = d.pool and v.name = d.volume
             where d.guest_id = g.guest_id) as disks,
           (select json_group_array(json_array(n.mac_address, n.kind, n.source))
              from nic n where n.guest_id = g.guest_id) as nics
      from guest g left join pinning p using (guest_id) order by g.name
"""
_VOLUMES = """
    select v.pool, v.name, v.size_bytes, v.machine_id,
           (select d.guest_id from disk d where d.pool = v.pool and d.volume = v.name limit 1) as guest_id
      from volume v order by v.pool, v.name
"""


@frozen(kw_only=True)
class HeldGuest:
    """`body` has every value except the marker."""

    guest_id: str
    name: str
    machine: UUID | None
    cores: int
    memory_mib: int
    body: tuple[Any, ...]


@frozen(kw_only=True)
class HeldVolume:
    pool: str
    name: str
    size_bytes: int
    machine: UUID | None
    guest_id: str | None  # the guest that uses it


@frozen(kw_only=True)
class Holdings:
    """All guests and volumes of one host."""

    guests: Mapping[str, HeldGuest]  # by id
    volumes: Mapping[tuple[str, str], HeldVolume]  # by pool and name


@define
class Outages:
    """Hosts that do not answer, and hosts that stop answering after a number of calls."""

    down: set[str] = field(factory=set)
    calls_left: dict[str, int] = field(factory=dict)

    def call(self, host: str) -> None:
        if host in self.calls_left:
            self.calls_left[host] -= 1
            if self.calls_left[host] < 0:
                del self.calls_left[host]
                self.down.add(host)
        if host in self.down:
            raise HostUnreachable(f"simulated/{host} is down")


@frozen
class OutageInjector:
    """Replaces a simulated host's fault injector: fails when the schedule says so."""

    host: str
    outages: Outages

    def call(self, what: str) -> None:
        self.outages.call(self.host)

    def close(self) -> None:
        """Has no waiting calls."""


@frozen
class ScheduledHosts:
    """Opens simulated hosts for a rack of the schedule."""

    folder: Path
    outages: Outages

    def identify(self, access: HostAccess) -> PeerIdentity | None:
        SimulatedAddress.parse(access.address)
        return None

    def open(self, access: HostAccess) -> Driver:
        address = SimulatedAddress.parse(access.address)
        return SimulatedDriver(address, self.folder, OutageInjector(address.name, self.outages))  # type: ignore[arg-type]  # all that the driver uses of a FaultInjector


@define
class Hypervisor:
    """The file of one host; the VM host has the same name."""

    name: str
    store: Store

    @classmethod
    def opened(cls, folder: Path, name: str) -> Hypervisor:
        return cls(name, Store(folder / f"{name}.sqlite"))

    def close(self) -> None:
        self.store.close()

    def holdings(self) -> Holdings:
        with self.store.reading() as db:
            return Holdings(
                guests={row["guest_id"]: _guest(row) for row in db.execute(_GUESTS)},
                volumes={(row["pool"], row["name"]): _volume(row) for row in db.execute(_VOLUMES)},
            )

    # Changes by administrators --------------------------------------------------------------------------------------

    def add_foreign(self, name: str, *, cores: int, memory_mib: int, disk_gb: int, pins: tuple[int, ...] = ()) -> None:
        """Does nothing if a guest or volume of that name exists."""
        held = self.holdings()
        if any(one.name == name for one in held.guests.values()) or ("default", name) in held.volumes:
            return
        disk = DiskSpec(volume=name, pool_id="default", size_bytes=disk_gb * GB, serial=name)
        with self.store.writing() as db:
            guests.add_foreign_guest(
                db, name, cores=cores, memory_mib=memory_mib, disk=disk, power=PowerState.ON,
                pinning=guests.Pinning(core_ids=pins) if pins else None,
            )  # fmt: skip

    def remove(self, guest: HeldGuest, *, with_volumes: bool) -> None:
        with self.store.writing() as db:
            disks = db.execute("select pool, volume from disk where guest_id = ?", (guest.guest_id,)).fetchall()
            db.execute("delete from guest where guest_id = ?", (guest.guest_id,))
            if with_volumes:
                db.executemany("delete from volume where pool = ? and name = ?", [tuple(row) for row in disks])

    def resize(self, guest: HeldGuest, *, cores: int, memory_mib: int) -> None:
        """A pinned guest keeps its number of cores, as on a real hypervisor."""
        with self.store.writing() as db:
            db.execute(
                "update guest set memory_mib = ?, cores = case when exists (select 1 from pinning"
                " where pinning.guest_id = guest.guest_id) then cores else ? end where guest_id = ?",
                (memory_mib, cores, guest.guest_id),
            )

    def rename(self, guest: HeldGuest, name: str) -> None:
        if all(one.name != name for one in self.holdings().guests.values()):
            with self.store.writing() as db:
                guests.rename(db, guest.name, name)

    def switch(self, guest: HeldGuest, power: PowerState) -> None:
        with self.store.writing() as db:
            db.execute("update guest set power = ? where guest_id = ?", (power.value, guest.guest_id))

    def copy_from(self, other: Hypervisor, guest: HeldGuest) -> bool:
        """Restores a backup of the guest with its marker and disks here. Returns False if names collide."""
        held = self.holdings()
        if guest.machine in {one.machine for one in held.guests.values()} or guest.name in {
            one.name for one in held.guests.values()
        }:
            return False
        rows = {}
        with other.store.reading() as db:
            for table in ("guest", "pinning", "disk", "nic", "memory_node", "nic_settings"):
                statement = f"select * from {table} where guest_id = ?"  # noqa: S608  # from the tuple above
                rows[table] = [tuple(row) for row in db.execute(statement, (guest.guest_id,))]
            rows["volume"] = [
                tuple(row)
                for row in db.execute(
                    "select v.* from volume v join disk d on d.pool = v.pool and d.volume = v.name"
                    " where d.guest_id = ?", (guest.guest_id,)
                )
            ]  # fmt: skip
        if held.volumes.keys() & {(row[0], row[1]) for row in rows["volume"]}:
            return False
        with self.store.writing() as db:
            for table in ("guest", "volume", "pinning", "disk", "nic", "memory_node", "nic_settings"):
                _insert(db, table, rows[table])
        return True


def _insert(db: sqlite3.Connection, table: str, rows: list[tuple[Any, ...]]) -> None:
    for row in rows:
        places = ", ".join("?" * len(row))
        db.execute(f"insert into {table} values ({places})", row)  # noqa: S608  # tables of ours


def _guest(row: sqlite3.Row) -> HeldGuest:
    return HeldGuest(
        guest_id=row["guest_id"],
        name=row["name"],
        machine=UUID(row["machine_id"]) if row["machine_id"] else None,
        cores=row["cores"],
        memory_mib=row["memory_mib"],
        body=(
            row["name"], row["power"], row["cores"], row["memory_mib"], row["core_ids"], row["huge_pages"],
            json.dumps(json.loads(row["disks"])), json.dumps(json.loads(row["nics"])),
        ),
    )  # fmt: skip


def _volume(row: sqlite3.Row) -> HeldVolume:
    return HeldVolume(
        pool=row["pool"],
        name=row["name"],
        size_bytes=row["size_bytes"],
        machine=UUID(row["machine_id"]) if row["machine_id"] else None,
        guest_id=row["guest_id"],
    )
