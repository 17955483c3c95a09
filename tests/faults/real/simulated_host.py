"""A simulated host as somebody sees it who looks into its file, and what machines say of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

_BUSY_S = 60.0


@frozen(kw_only=True)
class HeldGuest:
    """A guest, in words that a machine can be compared with."""

    name: str
    machine_id: str | None
    power: str
    cores: int
    memory_mib: int
    disks: int
    mac_addresses: tuple[str, ...]


@frozen(kw_only=True)
class SimulatedHost:
    path: Path

    def guests(self) -> dict[str, HeldGuest]:
        """By name; none while nobody has opened the host."""
        rows = self._all("select guest_id, name, machine_id, power, cores, memory_mib from guest")
        disks = [row["guest_id"] for row in self._all("select guest_id from disk")]
        macs = self._all("select guest_id, mac_address from nic order by position")
        return {
            row["name"]: HeldGuest(
                name=row["name"], machine_id=row["machine_id"], power=row["power"], cores=row["cores"],
                memory_mib=row["memory_mib"], disks=disks.count(row["guest_id"]),
                mac_addresses=tuple(mac["mac_address"] for mac in macs if mac["guest_id"] == row["guest_id"]),
            )
            for row in rows
        }  # fmt: skip

    def volumes(self) -> list[str]:
        """All of them, whoever made them."""
        return sorted(row["name"] for row in self._all("select name from volume"))

    def unused(self) -> list[str]:
        """Volumes of ours that no guest has."""
        used = "select 1 from disk d where d.pool = v.pool and d.volume = v.name"
        rows = self._all(f"select name from volume v where machine_id is not null and not exists ({used})")  # noqa: S608  # both are ours
        return sorted(row["name"] for row in rows)

    def add_by_hand(self, name: str) -> None:
        """A foreign guest that somebody made behind our back."""
        with closing(self._open()) as store, store:
            store.execute("insert into guest values (?, ?, null, null, 'off', 1, 256)", (f"by-hand-{name}", name))

    @contextmanager
    def writes_refused(self) -> Iterator[None]:
        """Every call that changes something fails after some seconds: the host cannot be reached."""
        with closing(self._open()) as store:
            store.execute("begin immediate")
            yield
            store.execute("rollback")

    def _open(self) -> sqlite3.Connection:
        store = sqlite3.connect(self.path, timeout=_BUSY_S)
        store.row_factory = sqlite3.Row
        return store

    def _all(self, query: str) -> list[Any]:
        if not self.path.exists():
            return []
        with closing(self._open()) as store:
            return store.execute(query).fetchall()


def said_by(machine: Any) -> HeldGuest:
    """What the API says of a machine."""
    return HeldGuest(
        name=machine["hostname"],
        machine_id=machine["hardware_uuid"],
        power=machine["power_state"],
        cores=machine["cpu_count"],
        memory_mib=machine["memory"],
        disks=len(machine["physicalblockdevice_set"]),
        mac_addresses=tuple(one["mac_address"] for one in machine["interface_set"]),
    )


def compared(host: SimulatedHost, machines: list[Any]) -> list[str]:
    """Where the guests with our mark and the machines on the host part; foreign guests are nobody's business."""
    there = {guest for guest in host.guests().values() if guest.machine_id is not None}
    told = {said_by(machine) for machine in machines}
    faults = [f"on the host and no machine: {one}" for one in there - told]
    faults += [f"a machine and not on the host: {one}" for one in told - there]
    faults += [f"a volume that no guest has: {name}" for name in host.unused()]
    return faults
