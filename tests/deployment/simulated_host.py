"""The file of a simulated host, read and changed as the host's administrator would."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from common.disks.volume_names import volume_name
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.units import BYTES_PER_GB
from common.values import OwnershipMarker, PowerState
from rackd.drivers.simulated import guests
from rackd.drivers.simulated.fault_injection import Call

Row = tuple[Any, ...]

_BUSY_S = 60.0
_ORPHANED = """
    select name from volume v where machine_id is not null
       and not exists (select 1 from disk d where d.pool = v.pool and d.volume = v.name) order by name
"""
# The volumes of a guest that lost its marker do not belong to a machine; those of an adopted guest have no marker.
_MARKED_VOLUMES = """
    select volume.name from volume
     where volume.machine_id is not null and not exists (
           select 1 from disk join guest using (guest_id)
            where disk.pool = volume.pool and disk.volume = volume.name and guest.machine_id is null)
"""
_FOREIGN = """
    select guest.name, guest.*, disk.*, volume.*, nic.* from guest left join disk using (guest_id)
      left join volume on volume.pool = disk.pool and volume.name = disk.volume left join nic using (guest_id)
     where guest.machine_id is null order by guest.name, disk.position, nic.position
"""
_ALL_BUT_MARKER = """
    select guest.guest_id, name, power, cores, memory_mib, disk.*, nic.* from guest
      left join disk using (guest_id) left join nic using (guest_id) where name = ? order by disk.position, nic.position
"""
_CHANGES = "select event, power from change where guest_name = ? and number > ? order by number"


@frozen(kw_only=True)
class HeldGuest:
    """A guest, with the values that a machine of the API has too."""

    name: str
    machine_id: str | None
    power: str
    cores: int
    memory_mib: int
    disks: int
    mac_addresses: tuple[str, ...]

    @classmethod
    def of_machine(cls, machine: Any) -> HeldGuest:
        """The guest that a machine of the API should have."""
        return cls(
            name=machine["hostname"],
            machine_id=machine["hardware_uuid"],
            power=machine["power_state"],
            cores=machine["cpu_count"],
            memory_mib=machine["memory"],
            disks=len(machine["physicalblockdevice_set"]),
            mac_addresses=tuple(one["mac_address"] for one in machine["interface_set"]),
        )


@frozen(kw_only=True)
class SimulatedHost:
    """The host that `power_address` `simulated:NAME` means, with its file in `folder`."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.sqlite"

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """One transaction on the file."""
        with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as db, db:
            db.row_factory = sqlite3.Row
            yield db

    def rows(self, statement: str, *values: object) -> list[Row]:
        """Empty while no rack has opened the host."""
        if not self.path.exists():
            return []
        with self.open() as db:
            return [tuple(row) for row in db.execute(statement, values)]

    # Guests and volumes -----------------------------------------------------------------------------------------

    def guest_names(self) -> list[str]:
        return [row[0] for row in self.rows("select name from guest order by name")]

    def foreign_names(self) -> list[str]:
        return [row[0] for row in self.rows("select name from guest where machine_id is null order by name")]

    def marked_guests(self) -> list[Row]:
        """Name and machine UUID of each guest with our marker."""
        return self.rows("select name, machine_id from guest where machine_id is not null order by name")

    def volume_names(self) -> list[str]:
        """All volumes, ours and others'."""
        return [row[0] for row in self.rows("select name from volume order by name")]

    def marked_volumes(self) -> list[str]:
        """Volumes with our marker, except those of guests that have none."""
        return [row[0] for row in self.rows(_MARKED_VOLUMES)]

    def orphaned_volumes(self) -> list[str]:
        """Volumes with our marker that no guest uses."""
        return [row[0] for row in self.rows(_ORPHANED)]

    def guests(self) -> dict[str, HeldGuest]:
        """By name."""
        disks = [row[0] for row in self.rows("select guest_id from disk")]
        macs = self.rows("select guest_id, mac_address from nic order by position")
        return {
            name: HeldGuest(
                name=name, machine_id=machine_id, power=power, cores=cores, memory_mib=memory_mib,
                disks=disks.count(guest_id), mac_addresses=tuple(mac for owner, mac in macs if owner == guest_id),
            )
            for guest_id, name, machine_id, power, cores, memory_mib in self.rows(
                "select guest_id, name, machine_id, power, cores, memory_mib from guest"
            )
        }  # fmt: skip

    def foreign_rows(self) -> list[Row]:
        """Every value of guests without our marker, with their disks and NICs; the name first."""
        return self.rows(_FOREIGN)

    def all_but_marker(self, guest: str) -> list[Row]:
        """Every value of a guest, its disks and NICs, except the marker."""
        return self.rows(_ALL_BUT_MARKER, guest)

    # History ----------------------------------------------------------------------------------------------------

    def newest_change(self) -> int:
        return int(self.rows("select coalesce(max(number), 0) from change")[0][0])

    def changes(self, guest: str, since: int = 0) -> list[tuple[str, str | None]]:
        """The events of the guests of that name after change `since`, in order, with the new power state if any."""
        return [(event, power) for event, power in self.rows(_CHANGES, guest, since)]

    def count(self, guest: str, event: str, since: int = 0) -> int:
        """How often the event happened to guests of that name."""
        return [found for found, _ in self.changes(guest, since)].count(event)

    def names_that_appeared(self) -> list[str]:
        """Guests that were ever created, with those that are gone."""
        return sorted(row[0] for row in self.rows("select guest_name from change where event = 'appeared'"))

    # What an administrator does ---------------------------------------------------------------------------------

    def images(self) -> list[str]:
        """The names of the volumes with images."""
        return [str(row[0]) for row in self.rows("select name from volume where name like 'innkeeper-image-%'")]

    def image_of(self, guest: str) -> str | None:
        """The SHA-256 of the image on the guest's root disk; None if the disk is empty."""
        rows = self.rows("select sha256 from deployment join guest using (guest_id) where name = ?", guest)
        return str(rows[0][0]) if rows else None

    def written_disks_of(self, guest: str) -> list[bool]:
        """Of each disk of the guest, in their order, whether its operating system has written to it."""
        query = """
            select exists (select 1 from written w where w.pool = disk.pool and w.volume = disk.volume)
              from disk join guest using (guest_id) where name = ? order by position
        """
        return [bool(row[0]) for row in self.rows(query, guest)]

    def user_data_of(self, guest: str) -> bytes:
        ((user_data,),) = self.rows(
            "select user_data from deployment join guest using (guest_id) where name = ?", guest
        )
        return bytes(user_data)

    def network_config_of(self, guest: str) -> str:
        ((text,),) = self.rows(
            "select network_config from deployment join guest using (guest_id) where name = ?", guest
        )
        return str(text)

    def reserved_addresses_of(self, guest: str) -> list[str | None]:
        """Of each NIC of the guest, in their order."""
        query = "select settings from nic_settings join guest using (guest_id) where name = ? order by position"
        addresses = [json.loads(settings)["address"] for (settings,) in self.rows(query, guest)]
        return [None if one is None else str(one["address"]) for one in addresses]

    def fetched_user_data_of(self, guest: str) -> bytes | None:
        """What the guest has fetched from the region; None if nothing."""
        rows = self.rows("select content from fetched join guest using (guest_id) where name = ?", guest)
        return bytes(rows[0][0]) if rows else None

    def add_foreign(self, *names: str, power: PowerState = PowerState.ON) -> None:
        with self.open() as db:
            for name in names:
                disk = DiskSpec(volume=name, pool_id="default", size_bytes=BYTES_PER_GB, serial=name)
                guests.add_foreign_guest(db, name, cores=1, memory_mib=512, disk=disk, power=power)

    def add_marked(self, name: str, marker: OwnershipMarker) -> None:
        """A marked guest that no operation expects: created by a stale call, or restored from a backup."""
        disk = DiskSpec(volume=volume_name(marker, 0), pool_id="default", size_bytes=BYTES_PER_GB, serial="root")
        spec = GuestSpec(name=name, marker=marker, architecture="amd64", cores=1, memory_mib=512, disks=(disk,))
        with self.open() as db:
            guests.add_volume(db, pool="default", name=disk.volume, size_bytes=disk.size_bytes, marker=marker)
            guests.add_guest(db, spec)

    def add_volume(self, name: str, marker: OwnershipMarker, *, pool: str = "default") -> None:
        with self.open() as db:
            guests.add_volume(db, pool=pool, name=name, size_bytes=BYTES_PER_GB, marker=marker)

    def remove(self, guest: str) -> None:
        """Deletes a guest with its volumes."""
        with self.open() as db:
            volumes = db.execute(
                "select pool, volume from disk join guest using (guest_id) where name = ?", (guest,)
            ).fetchall()
            for table in ("disk", "nic", "nic_settings"):
                db.execute(
                    f"delete from {table} where guest_id in (select guest_id from guest where name = ?)",  # noqa: S608  # from the tuple above
                    (guest,),
                )
            db.execute("delete from guest where name = ?", (guest,))
            db.executemany("delete from volume where pool = ? and name = ?", [tuple(row) for row in volumes])

    def set_power(self, guest: str, power: PowerState) -> None:
        """As `virsh start` and `virsh destroy` do; the rack's watch of the host reports it."""
        with self.open() as db:
            (found,) = [one for one in guests.all_guests(db) if one.name == guest]
            guests.set_power(db, found, power)

    @contextmanager
    def writes_rejected(self) -> Iterator[None]:
        """Every call that changes the host fails after some seconds with HostUnreachable."""
        with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as db:
            db.execute("begin immediate")
            yield
            db.execute("rollback")

    @contextmanager
    def down(self, text: str = "") -> Iterator[None]:
        """Every call fails with HostUnreachable, until the block ends. `text` is what the error says."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{self.name}.down"
        file.write_text(text)
        try:
            yield
        finally:
            file.unlink()

    @contextmanager
    def fails(self, *, code: str, text: str, calls: Iterable[Call]) -> Iterator[None]:
        """These calls fail with such an error, until the block ends."""
        file = self.folder / f"{self.name}.fails"
        file.write_text("".join(f"{call}\t{code}\t{text}\n" for call in calls))
        try:
            yield
        finally:
            file.unlink()

    @contextmanager
    def hold(self, *calls: Call) -> Iterator[None]:
        """The host does not answer these calls, or any call if none is named, until the block ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / f"{self.name}.hold.new"
        new.write_text("\n".join(calls))
        self._held.unlink(missing_ok=True)
        hold = new.rename(self.folder / f"{self.name}.hold")
        try:
            yield
        finally:
            hold.unlink()

    @contextmanager
    def refuse(self, *calls: Call) -> Iterator[None]:
        """The host refuses these calls until the block ends, as a guest does that keeps a disk."""
        refused = self.folder / f"{self.name}.refuse"
        refused.write_text("\n".join(calls))
        try:
            yield
        finally:
            refused.unlink()

    def is_holding(self) -> bool:
        """Whether a call has waited in the present `hold`."""
        return self._held.exists()

    @property
    def _held(self) -> Path:
        return self.folder / f"{self.name}.held"
