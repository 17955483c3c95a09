"""SQL about the guests, volumes and changes of a simulated host. The caller owns the transaction."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID, uuid4

from attrs import evolve, frozen

from common.discovery import UnusedVolume
from common.drive_names import drive_name
from common.values import (
    DiskSpec,
    Guest,
    GuestChange,
    GuestDisk,
    GuestEvent,
    GuestNic,
    GuestSpec,
    Mark,
    NicKind,
    PowerState,
)
from rackd.drivers.simulated import holdings
from rackd.drivers.simulated.facts import ARCHITECTURE

_GUESTS = """
    select guest.*, pinning.core_ids, pinning.huge_pages from guest left join pinning using (guest_id)
"""
_ALL = _GUESTS + " order by name"
_BY_MARK = _GUESTS + " where installation_id = ? and machine_id = ?"
_BY_ID = _GUESTS + " where guest_id = ?"
_DISKS = """
    select disk.guest_id, disk.position, disk.pool, disk.volume, disk.serial, volume.size_bytes
      from disk join volume on volume.pool = disk.pool and volume.name = disk.volume
     where :guest_id is null or disk.guest_id = :guest_id
     order by disk.guest_id, disk.position
"""
_NICS = """
    select * from nic where :guest_id is null or guest_id = :guest_id order by guest_id, position
"""
_UNATTACHED = """
    select pool, sum(size_bytes) as size_bytes
      from volume
     where machine_id is null
       and not exists (select from_disk.volume from disk as from_disk
                        where from_disk.pool = volume.pool and from_disk.volume = volume.name)
     group by pool
"""
_UNUSED = """
    select * from volume
     where machine_id is not null and (pool, name) not in (select disk.pool, disk.volume from disk) order by pool, name
"""
_USERS = """
    select guest.name
      from disk join guest using (guest_id) join volume on volume.pool = disk.pool and volume.name = disk.volume
     where disk.pool = ? and disk.volume = ? and volume.installation_id = ? and volume.machine_id = ?
"""
_DELETE_VOLUME = """
    delete from volume
     where pool = ? and name = ? and installation_id = ? and machine_id = ?
       and not exists (select from_disk.volume from disk as from_disk
                        where from_disk.pool = volume.pool and from_disk.volume = volume.name)
"""


@frozen(kw_only=True)
class Pinning:
    """The cores that a guest alone may use, and whether its memory is of huge pages."""

    core_ids: tuple[int, ...]
    huge_pages: bool = False


def all_guests(db: sqlite3.Connection) -> tuple[Guest, ...]:
    """Every guest by name, in three statements however many there are."""
    return _with_devices(db, db.execute(_ALL).fetchall(), None)


def by_mark(db: sqlite3.Connection, mark: Mark) -> Guest | None:
    row = db.execute(_BY_MARK, _mark_texts(mark)).fetchone()
    return _with_devices(db, [row], row["guest_id"])[0] if row else None


def by_id(db: sqlite3.Connection, guest_id: str) -> Guest | None:
    row = db.execute(_BY_ID, (guest_id,)).fetchone()
    return _with_devices(db, [row], guest_id)[0] if row else None


def set_mark(db: sqlite3.Connection, guest: Guest, mark: Mark | None) -> Guest:
    """The guest with that mark, or without one. Its volumes stay those of whoever they were made for."""
    texts = _mark_texts(mark)
    db.execute("update guest set installation_id = ?, machine_id = ? where guest_id = ?", (*texts, guest.guest_id))
    record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
    return evolve(guest, mark=mark)


def name_exists(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("select 1 from guest where name = ?", (name,)).fetchone() is not None


def unattached_bytes(db: sqlite3.Connection) -> dict[str, int]:
    """Per pool, what nobody's guest uses. Volumes made for a machine are in its own account already."""
    return {row["pool"]: row["size_bytes"] for row in db.execute(_UNATTACHED)}


def unused_volumes(db: sqlite3.Connection) -> tuple[UnusedVolume, ...]:
    """Those that were made for a machine, anybody's, and that no guest has."""
    found = []
    for row in db.execute(_UNUSED):
        mark = Mark(installation_id=UUID(row["installation_id"]), machine_id=UUID(row["machine_id"]))
        found.append(UnusedVolume(pool_id=row["pool"], name=row["name"], mark=mark, size_bytes=row["size_bytes"]))
    return tuple(found)


def users_of(db: sqlite3.Connection, pool: str, volume: str, mark: Mark) -> tuple[str, ...]:
    """The names of the guests that have it, if it was made for `mark`."""
    return tuple(row["name"] for row in db.execute(_USERS, (pool, volume, *_mark_texts(mark))))


def pool_used_bytes(db: sqlite3.Connection, pool: str) -> int:
    used: int = db.execute("select coalesce(sum(size_bytes), 0) from volume where pool = ?", (pool,)).fetchone()[0]
    return used


def volume_owner(db: sqlite3.Connection, pool: str, name: str) -> tuple[Mark | None, int] | None:
    """For whom a volume was made, and its size in bytes; None when there is no such volume."""
    row = db.execute("select * from volume where pool = ? and name = ?", (pool, name)).fetchone()
    return (_mark(row), row["size_bytes"]) if row else None


def add_volume(db: sqlite3.Connection, *, pool: str, name: str, size_bytes: int, mark: Mark | None) -> None:
    db.execute("insert into volume values (?, ?, ?, ?, ?)", (pool, name, size_bytes, *_mark_texts(mark)))


def remove_volumes(db: sqlite3.Connection, volumes: Iterable[tuple[str, str]], mark: Mark) -> None:
    """Those of `volumes` that were made for `mark` and that no guest has attached."""
    owner = _mark_texts(mark)
    db.executemany(_DELETE_VOLUME, [(pool, name, *owner) for pool, name in volumes])


def add_guest(db: sqlite3.Connection, spec: GuestSpec) -> Guest:
    """The guest, switched off, on volumes that exist already (the file refuses a disk without one)."""
    guest_id = str(uuid4())
    _insert_guest(db, guest_id, spec.name, spec.mark, PowerState.OFF, spec.cores, spec.memory_mib)
    for disk in spec.disks:
        attach(db, guest_id, pool=disk.pool_id, volume=disk.volume, serial=disk.serial)
    db.executemany(
        "insert into nic values (?, ?, ?, ?, ?)",
        [(guest_id, at, nic.mac_address, nic.kind.value, nic.source) for at, nic in enumerate(spec.nics)],
    )
    holdings.keep(db, guest_id, spec)
    record(db, GuestChange(event=GuestEvent.APPEARED, guest_name=spec.name, guest_id=guest_id))
    row = db.execute(_BY_ID, (guest_id,)).fetchone()
    return _with_devices(db, [row], guest_id)[0]


def add_foreign_guest(
    db: sqlite3.Connection,
    name: str,
    *,
    cores: int,
    memory_mib: int,
    disk: DiskSpec,
    power: PowerState,
    pinning: Pinning | None = None,
) -> None:
    """A guest as somebody else would make it, with one disk of its own."""
    guest_id = str(uuid4())
    add_volume(db, pool=disk.pool_id, name=disk.volume, size_bytes=disk.size_bytes, mark=None)
    _insert_guest(db, guest_id, name, None, power, cores, memory_mib)
    if pinning is not None:
        holdings.pin(db, guest_id, pinning.core_ids, huge_pages=pinning.huge_pages)
    attach(db, guest_id, pool=disk.pool_id, volume=disk.volume, serial=disk.serial)
    record(db, GuestChange(event=GuestEvent.APPEARED, guest_name=name, guest_id=guest_id))


def attach(db: sqlite3.Connection, guest_id: str, *, pool: str, volume: str, serial: str | None) -> None:
    position = db.execute("select coalesce(max(position) + 1, 0) from disk where guest_id = ?", (guest_id,)).fetchone()[
        0
    ]
    db.execute("insert into disk values (?, ?, ?, ?, ?)", (guest_id, position, pool, volume, serial))


def remove_guest(db: sqlite3.Connection, guest: Guest) -> None:
    db.execute("delete from guest where guest_id = ?", (guest.guest_id,))
    record(db, GuestChange(event=GuestEvent.GONE, guest_name=guest.name, guest_id=guest.guest_id))


def rename(db: sqlite3.Connection, old: str, new: str) -> None:
    db.execute("update guest set name = ? where name = ?", (new, old))


def set_power(db: sqlite3.Connection, guest: Guest, power: PowerState) -> None:
    """Nothing is written or announced when it is in that state already."""
    changed = db.execute(
        "update guest set power = ? where guest_id = ? and power <> ?", (power.value, guest.guest_id, power.value)
    )
    if changed.rowcount:
        record(db, GuestChange(event=GuestEvent.POWER, guest_name=guest.name, guest_id=guest.guest_id, power=power))


def record(db: sqlite3.Connection, change: GuestChange) -> None:
    db.execute(
        "insert into change (event, guest_name, guest_id, power) values (?, ?, ?, ?)",
        (change.event.value, change.guest_name, change.guest_id, change.power.value if change.power else None),
    )


def newest_change(db: sqlite3.Connection) -> int:
    newest: int = db.execute("select coalesce(max(number), 0) from change").fetchone()[0]
    return newest


def changes_after(db: sqlite3.Connection, seen: int) -> tuple[int, list[GuestChange]]:
    """The newest number and what happened since `seen`, led by RESYNC when some of it is no longer kept."""
    rows = db.execute("select * from change where number > ? order by number", (seen,)).fetchall()
    if not rows:
        return seen, []
    gap = [GuestChange(event=GuestEvent.RESYNC)] if rows[0]["number"] > seen + 1 else []
    return rows[-1]["number"], gap + [_change(row) for row in rows]


def _insert_guest(
    db: sqlite3.Connection,
    guest_id: str,
    name: str,
    mark: Mark | None,
    power: PowerState,
    cores: int,
    memory_mib: int,
) -> None:
    row = (guest_id, name, *_mark_texts(mark), power.value, cores, memory_mib)
    db.execute("insert into guest values (?, ?, ?, ?, ?, ?, ?)", row)


def _with_devices(db: sqlite3.Connection, rows: Iterable[sqlite3.Row], only: str | None) -> tuple[Guest, ...]:
    """`only` narrows the devices read to those of one guest; None reads them all."""
    disks: dict[str, list[GuestDisk]] = defaultdict(list)
    for row in db.execute(_DISKS, {"guest_id": only}):
        disks[row["guest_id"]].append(_disk(row))
    nics: dict[str, list[GuestNic]] = defaultdict(list)
    for row in db.execute(_NICS, {"guest_id": only}):
        nic = GuestNic(mac_address=row["mac_address"], kind=NicKind(row["kind"]), source=row["source"])
        nics[row["guest_id"]].append(nic)
    return tuple(_guest(row, disks[row["guest_id"]], nics[row["guest_id"]]) for row in rows)


def _guest(row: sqlite3.Row, disks: Iterable[GuestDisk], nics: Iterable[GuestNic]) -> Guest:
    return Guest(
        name=row["name"],
        guest_id=row["guest_id"],
        power=PowerState(row["power"]),
        cores=row["cores"],
        memory_mib=row["memory_mib"],
        mark=_mark(row),
        architecture=ARCHITECTURE,
        pinned_core_ids=tuple(json.loads(row["core_ids"])) if row["core_ids"] else (),
        huge_pages_backed=bool(row["huge_pages"]),
        disks=tuple(disks),
        nics=tuple(nics),
    )


def _disk(row: sqlite3.Row) -> GuestDisk:
    return GuestDisk(
        device=drive_name("vd", row["position"]),
        size_bytes=row["size_bytes"],
        pool_id=row["pool"],
        volume=row["volume"],
        serial=row["serial"],
    )


def _change(row: sqlite3.Row) -> GuestChange:
    return GuestChange(
        event=GuestEvent(row["event"]),
        guest_name=row["guest_name"],
        guest_id=row["guest_id"],
        power=PowerState(row["power"]) if row["power"] else None,
    )


def _mark(row: sqlite3.Row) -> Mark | None:
    if row["machine_id"] is None:
        return None
    return Mark(installation_id=UUID(row["installation_id"]), machine_id=UUID(row["machine_id"]))


def _mark_texts(mark: Mark | None) -> tuple[str | None, str | None]:
    return (str(mark.installation_id), str(mark.machine_id)) if mark else (None, None)
