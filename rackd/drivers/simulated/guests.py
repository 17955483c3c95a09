"""SQL for a simulated host's guests, volumes and changes. The caller owns the transaction."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

from attrs import evolve, frozen

from common.addresses.simulated import SimulatedAddress
from common.boot import parsed
from common.disks.device_names import block_device_name
from common.errors import NotFound
from common.guest_facts import settings_in
from common.guests.guest_spec import DiskSpec, GuestSpec
from common.hosts.discovery import OrphanedVolume
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.serialization import from_dict
from common.values import (
    Autostart,
    Guest,
    GuestChange,
    GuestDisk,
    GuestEvent,
    GuestNic,
    GuestRef,
    NicKind,
    OwnershipMarker,
    PowerState,
)
from rackd.drivers.simulated import boot_orders, guest_resources, leases, settings
from rackd.drivers.simulated.facts import ARCHITECTURE

_GUESTS = f"""
    select guest.*, pinning.core_ids, pinning.huge_pages, autostart.guest_id is not null as autostart,
           boot_order.devices, boot_order.pending, boot_order.once_key, iso.sha256 as iso,
           {settings.COLUMNS},
           deployment.guest_id is not null as is_deployed, generation.number as generation,
           removal.facts as removal,
           coalesce((select position from disk
                      where disk.guest_id = guest.guest_id
                        and disk.pool = boot_disk.pool and disk.volume = boot_disk.volume),
                    (select min(position) from disk where disk.guest_id = guest.guest_id)) as boot_position
      from guest left join pinning using (guest_id) left join autostart using (guest_id)
           left join boot_disk using (guest_id) left join boot_order using (guest_id)
           left join iso using (guest_id)
           {settings.JOINS}
           left join deployment using (guest_id)
           left join generation using (guest_id)
           left join removal using (guest_id)
"""  # noqa: S608  constants
_ALL = _GUESTS + " order by name"
_BY_MARKER = _GUESTS + " where installation_id = ? and machine_id = ?"
_BY_ID = _GUESTS + " where guest.guest_id = ?"
_DISKS = """
    select disk.guest_id, disk.position, disk.pool, disk.volume, disk.serial, volume.size_bytes
      from disk left join volume on volume.pool = disk.pool and volume.name = disk.volume
     where :guest_id is null or disk.guest_id = :guest_id
     order by disk.guest_id, disk.position
"""
_NICS = """
    select * from nic where :guest_id is null or guest_id = :guest_id order by guest_id, position
"""
_UNATTACHED = """
    select pool, sum(size_bytes) as size_bytes
      from volume
     where machine_id is null and name not glob 'innkeeper-image-*'
       and not exists (select from_disk.volume from disk as from_disk
                        where from_disk.pool = volume.pool and from_disk.volume = volume.name)
     group by pool
"""
_NO_AUTOSTART = "delete from autostart where guest_id = ?"
_RAISE_GENERATION = """
    insert into generation values (?, ?) on conflict (guest_id) do update set number = max(number, excluded.number)
"""
_ORPHANED = """
    select * from volume
     where machine_id is not null and (pool, name) not in (select disk.pool, disk.volume from disk) order by pool, name
"""
_USERS = """
    select guest.name
      from disk join guest using (guest_id) join volume on volume.pool = disk.pool and volume.name = disk.volume
     where disk.pool = ?1 and disk.volume = ?2
       and (?3 is null or (volume.installation_id = ?3 and volume.machine_id = ?4))
"""
_DELETE_VOLUME = """
    delete from volume
     where pool = ?1 and name = ?2 and (?3 is null or (installation_id = ?3 and machine_id = ?4))
       and not exists (select from_disk.volume from disk as from_disk
                        where from_disk.pool = volume.pool and from_disk.volume = volume.name)
"""


@frozen(kw_only=True)
class Pinning:
    """The cores pinned for a guest, and whether huge pages back its memory."""

    core_ids: tuple[int, ...]
    huge_pages: bool = False


def all_guests(db: sqlite3.Connection) -> tuple[Guest, ...]:
    """Returns every guest by name, in three statements."""
    return _with_devices(db, db.execute(_ALL).fetchall(), None)


def by_marker(db: sqlite3.Connection, marker: OwnershipMarker) -> Guest | None:
    row = db.execute(_BY_MARKER, _marker_texts(marker)).fetchone()
    return _with_devices(db, [row], row["guest_id"])[0] if row else None


def of_machine(db: sqlite3.Connection, address: SimulatedAddress, guest: GuestRef) -> Guest:
    """Raises NotFound."""
    found = by_marker(db, guest.marker)
    if found is None:
        raise NotFound(f"{address.identity} has no guest of machine {guest.marker.machine_id} ('{guest.name}').")
    return found


def by_id(db: sqlite3.Connection, guest_id: str) -> Guest | None:
    row = db.execute(_BY_ID, (guest_id,)).fetchone()
    return _with_devices(db, [row], guest_id)[0] if row else None


def set_marker(db: sqlite3.Connection, guest: Guest, marker: OwnershipMarker | None) -> Guest:
    """Sets or (None) removes the guest's marker, without a generation. The owner of its volumes does not change."""
    texts = _marker_texts(marker)
    db.execute("update guest set installation_id = ?, machine_id = ? where guest_id = ?", (*texts, guest.guest_id))
    db.execute("delete from generation where guest_id = ?", (guest.guest_id,))
    record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))
    return evolve(guest, marker=marker, generation=None if marker is None else 0)


def raise_generation(db: sqlite3.Connection, guest: Guest, generation: int) -> None:
    """Writes the generation unless the guest has a higher one."""
    db.execute(_RAISE_GENERATION, (guest.guest_id, generation))


def name_exists(db: sqlite3.Connection, name: str) -> bool:
    return db.execute("select 1 from guest where name = ?", (name,)).fetchone() is not None


def unattached_bytes(db: sqlite3.Connection) -> dict[str, int]:
    """Returns by pool the size of volumes that belong to no guest and no machine and hold no image."""
    return {row["pool"]: row["size_bytes"] for row in db.execute(_UNATTACHED)}


def orphaned_volumes(db: sqlite3.Connection) -> tuple[OrphanedVolume, ...]:
    """Returns the volumes that belong to a machine of any installation and are attached to no guest."""
    found = []
    for row in db.execute(_ORPHANED):
        marker = OwnershipMarker(installation_id=UUID(row["installation_id"]), machine_id=UUID(row["machine_id"]))
        found.append(OrphanedVolume(pool_id=row["pool"], name=row["name"], marker=marker, size_bytes=row["size_bytes"]))
    return tuple(found)


def users_of(db: sqlite3.Connection, pool: str, volume: str, marker: OwnershipMarker | None) -> tuple[str, ...]:
    """Returns the names of the guests that use the volume, if it belongs to `marker` (None: to whomever)."""
    return tuple(row["name"] for row in db.execute(_USERS, (pool, volume, *_marker_texts(marker))))


def pool_used_bytes(db: sqlite3.Connection, pool: str) -> int:
    used: int = db.execute("select coalesce(sum(size_bytes), 0) from volume where pool = ?", (pool,)).fetchone()[0]
    return used


def volume_owner(db: sqlite3.Connection, pool: str, name: str) -> tuple[OwnershipMarker | None, int] | None:
    """Returns the owner of a volume and its size in bytes; None if it does not exist."""
    row = db.execute("select * from volume where pool = ? and name = ?", (pool, name)).fetchone()
    return (_marker(row), row["size_bytes"]) if row else None


def add_volume(
    db: sqlite3.Connection, *, pool: str, name: str, size_bytes: int, marker: OwnershipMarker | None
) -> None:
    db.execute("insert into volume values (?, ?, ?, ?, ?)", (pool, name, size_bytes, *_marker_texts(marker)))


def remove_volumes(db: sqlite3.Connection, volumes: Iterable[tuple[str, str]], marker: OwnershipMarker | None) -> None:
    """Deletes those of `volumes` that belong to `marker` (None: to whomever) and are attached to no guest."""
    owner = _marker_texts(marker)
    db.executemany(_DELETE_VOLUME, [(pool, name, *owner) for pool, name in volumes])


def add_guest(db: sqlite3.Connection, spec: GuestSpec) -> Guest:
    """Creates the guest, powered off. Its volumes must exist: a foreign key requires them."""
    guest_id = str(uuid4())
    _insert_guest(db, guest_id, spec.name, spec.marker, PowerState.OFF, spec.cores, spec.memory_mib)
    for disk in spec.disks:
        attach(db, guest_id, pool=disk.pool_id, volume=disk.volume, serial=disk.serial)
    db.executemany(
        "insert into nic values (?, ?, ?, ?, ?)",
        [(guest_id, at, nic.mac_address, nic.kind.value, nic.source) for at, nic in enumerate(spec.nics)],
    )
    guest_resources.add(db, guest_id, spec)
    if spec.autostart is not None:
        _set_autostart(db, guest_id, PowerState.OFF, spec.autostart)
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
    """Creates an unmarked guest with one disk."""
    guest_id = str(uuid4())
    add_volume(db, pool=disk.pool_id, name=disk.volume, size_bytes=disk.size_bytes, marker=None)
    _insert_guest(db, guest_id, name, None, power, cores, memory_mib)
    if pinning is not None:
        guest_resources.pin(db, guest_id, pinning.core_ids, huge_pages=pinning.huge_pages)
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
    """Does nothing if the guest has that state already."""
    changed = db.execute(
        "update guest set power = ? where guest_id = ? and power <> ?", (power.value, guest.guest_id, power.value)
    )
    if changed.rowcount:
        record(db, GuestChange(event=GuestEvent.POWER, guest_name=guest.name, guest_id=guest.guest_id, power=power))


def set_autostart(db: sqlite3.Connection, guest: Guest, autostart: Autostart) -> None:
    """Stores the setting. With LAST_STATE, the guest starts with its host if it is not off now."""
    _set_autostart(db, guest.guest_id, guest.power, autostart)


def _set_autostart(db: sqlite3.Connection, guest_id: str, power: PowerState, autostart: Autostart) -> None:
    starts = autostart is Autostart.ALWAYS or (autostart is Autostart.LAST_STATE and power is not PowerState.OFF)
    db.execute("insert or ignore into autostart values (?)" if starts else _NO_AUTOSTART, (guest_id,))


def set_boot_disk(db: sqlite3.Connection, guest: Guest, pool_id: str, volume: str) -> None:
    """Makes the guest boot first from this disk of its own."""
    db.execute("insert or replace into boot_disk values (?, ?, ?)", (guest.guest_id, pool_id, volume))
    record(db, GuestChange(event=GuestEvent.CHANGED, guest_name=guest.name, guest_id=guest.guest_id))


def record(db: sqlite3.Connection, change: GuestChange) -> None:
    db.execute(
        "insert into change (event, guest_name, guest_id, power) values (?, ?, ?, ?)",
        (change.event.value, change.guest_name, change.guest_id, change.power.value if change.power else None),
    )


def newest_change(db: sqlite3.Connection) -> int:
    newest: int = db.execute("select coalesce(max(number), 0) from change").fetchone()[0]
    return newest


def changes_after(db: sqlite3.Connection, seen: int) -> tuple[int, list[GuestChange]]:
    """Returns the newest number and the changes since `seen`, after a RESYNC if some were deleted."""
    rows = db.execute("select * from change where number > ? order by number", (seen,)).fetchall()
    if not rows:
        return seen, []
    gap = [GuestChange(event=GuestEvent.RESYNC)] if rows[0]["number"] > seen + 1 else []
    return rows[-1]["number"], gap + [_change(row) for row in rows]


def _insert_guest(
    db: sqlite3.Connection,
    guest_id: str,
    name: str,
    marker: OwnershipMarker | None,
    power: PowerState,
    cores: int,
    memory_mib: int,
) -> None:
    row = (guest_id, name, *_marker_texts(marker), power.value, cores, memory_mib)
    db.execute("insert into guest values (?, ?, ?, ?, ?, ?, ?)", row)


def _with_devices(db: sqlite3.Connection, rows: Iterable[sqlite3.Row], only: str | None) -> tuple[Guest, ...]:
    """`only` limits the devices read to those of one guest; None reads all."""
    disks: dict[str, list[GuestDisk]] = defaultdict(list)
    for row in db.execute(_DISKS, {"guest_id": only}):
        disks[row["guest_id"]].append(_disk(row))
    nics: dict[str, list[GuestNic]] = defaultdict(list)
    addresses = leases.addresses(db, only)
    for row in db.execute(_NICS, {"guest_id": only}):
        nic = GuestNic(
            mac_address=row["mac_address"],
            kind=NicKind(row["kind"]),
            source=row["source"],
            addresses=addresses.get(row["mac_address"]),
        )
        nics[row["guest_id"]].append(nic)
    return tuple(_guest(row, disks[row["guest_id"]], nics[row["guest_id"]]) for row in rows)


def _guest(row: sqlite3.Row, disks: Sequence[GuestDisk], nics: Sequence[GuestNic]) -> Guest:
    return Guest(
        name=row["name"],
        guest_id=row["guest_id"],
        power=PowerState(row["power"]),
        cores=row["cores"],
        memory_mib=row["memory_mib"],
        marker=_marker(row),
        architecture=ARCHITECTURE,
        pinned_core_ids=tuple(json.loads(row["core_ids"])) if row["core_ids"] else (),
        huge_pages_backed=bool(row["huge_pages"]),
        disks=tuple(disks),
        nics=tuple(nics),
        autostart=Autostart.ALWAYS if row["autostart"] else Autostart.NEVER,
        boot_device=None if row["boot_position"] is None else _device(row["boot_position"]),
        boot_order=boot_orders.order_of(row, has_disks=bool(disks), has_nics=bool(nics)),
        pending_boot_order=parsed(row["pending"] or ""),
        iso=row["iso"] or "",
        **settings_in(settings.settings_of(row)),
        booted_once=row["once_key"],
        generation=None if row["machine_id"] is None else row["generation"] or 0,
        removal=from_dict(json.loads(row["removal"]), RemovalFacts) if row["removal"] else NO_REMOVAL_FACTS,
    )


def _device(position: int) -> str:
    return block_device_name("vd", position)


def _disk(row: sqlite3.Row) -> GuestDisk:
    return GuestDisk(
        device=_device(row["position"]),
        size_bytes=row["size_bytes"] or 0,
        pool_id=row["pool"],
        volume=row["volume"],
        serial=row["serial"],
        missing=row["size_bytes"] is None,
    )


def _change(row: sqlite3.Row) -> GuestChange:
    return GuestChange(
        event=GuestEvent(row["event"]),
        guest_name=row["guest_name"],
        guest_id=row["guest_id"],
        power=PowerState(row["power"]) if row["power"] else None,
    )


def _marker(row: sqlite3.Row) -> OwnershipMarker | None:
    if row["machine_id"] is None:
        return None
    return OwnershipMarker(installation_id=UUID(row["installation_id"]), machine_id=UUID(row["machine_id"]))


def _marker_texts(marker: OwnershipMarker | None) -> tuple[str | None, str | None]:
    return (str(marker.installation_id), str(marker.machine_id)) if marker else (None, None)
