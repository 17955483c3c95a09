"""SQL of changes of the disks of machines."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from common.errors import NotFound
from regiond.db.pool import Db, of_row
from regiond.machines.hardware.disks.model import DiskHolder
from regiond.machines.values.disks import DiskOrigin

# A volume of the machine that is in no row may still exist, after a restore of the database: its number is not used.
_HOLDER = """
    select coalesce(m.owner_id, m.composed_by_id) as account_id, m.pool_id,
           (select coalesce(max(used.index), -1) + 1
              from (select d.index from machine_disk d where d.machine_id = m.id
                    union all
                    select substring(v.name from '-([0-9]{1,4})$')::integer
                      from (select v.name from orphaned_volume v where v.marker_machine = m.uuid
                            union all
                            select k.volume from kept_disk k where k.host_id = m.host_id
                            union all
                            select named.volume
                              from machine_disk d join machine other on other.id = d.machine_id,
                                   lateral (values (d.volume), (d.second_volume)) named (volume)
                             where other.host_id = m.host_id
                            union all
                            select f.volume from guest g, jsonb_to_recordset(g.disks) f (volume text)
                             where g.machine_id = m.id) v
                     where v.name like 'ik-%-' || replace(m.uuid::text, '-', '') || '-%') used) as next_index
      from machine m where m.id = $1
"""
_INSERT = """
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags, label, origin)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id
"""
_REMOVE = """
    delete from machine_disk d using storage_pool p
     where d.machine_id = $1 and p.id = d.storage_pool_id and p.pool_key = $2 and d.volume = $3
"""
_STORAGE_POOL = "select storage_pool_id from machine_disk where id = $1"
_ADOPT = "update machine_disk set origin = $2 where id = $1 and origin = 'foreign'"
_OTHER_USERS = """
    select coalesce(m.hostname, g.name) as name
      from storage_pool p join guest g on g.server_id = p.server_id left join machine m on m.id = g.machine_id,
           jsonb_to_recordset(g.disks) f (pool_id text, volume text)
     where p.id = $2 and g.machine_id is distinct from $1 and (f.pool_id, f.volume) = (p.pool_key, $3)
    union
    select m.hostname
      from machine_disk d join machine m on m.id = d.machine_id
     where d.machine_id <> $1
       and ($2, $3) in ((d.storage_pool_id, d.volume), (d.second_storage_pool_id, d.second_volume))
     order by name
"""
_SETTLE = "update machine set settled_at = clock_timestamp() where id = $1"
_SET_PENDING = "update machine_disk set pending_size_bytes = $2 where id = $1"
_DETACH_FROM_GUEST = """
    update guest set disks = (select coalesce(jsonb_agg(one order by number), '[]')
                                from jsonb_array_elements(disks) with ordinality disk (one, number)
                               where (one ->> 'pool_id', one ->> 'volume') is distinct from ($2, $3))
     where machine_id = $1
"""


@frozen(kw_only=True)
class NewDisk:
    """A row of a disk; `storage_pool_id` is the row id of its storage pool."""

    machine_id: int
    index: int
    volume: str
    storage_pool_id: int
    size_bytes: int
    serial: str
    tags: Sequence[str]
    label: str
    origin: DiskOrigin = DiskOrigin.CREATED


async def read_holder(db: Db, machine_id: int) -> DiskHolder:
    """Raises NotFound for a machine that was deleted."""
    row = await db.fetchrow(_HOLDER, machine_id)
    if row is None:
        raise NotFound("The machine was deleted.")
    return of_row(DiskHolder, row)


async def storage_pool_of(db: Db, disk_id: int) -> int:
    """Returns the row id of the storage pool. Raises NotFound for a disk that was removed."""
    pool_id: int | None = await db.fetchval(_STORAGE_POOL, disk_id)
    if pool_id is None:
        raise NotFound("The disk was removed.")
    return pool_id


async def insert(db: Db, disk: NewDisk) -> int:
    """Returns the id of the row."""
    disk_id: int = await db.fetchval(
        _INSERT, disk.machine_id, disk.index, disk.volume, disk.storage_pool_id, disk.size_bytes, disk.serial,
        list(disk.tags), disk.label, disk.origin.value,
    )  # fmt: skip
    return disk_id


async def remove(db: Db, machine_id: int, pool_key: str, volume: str) -> None:
    """Deletes the row, and the disk from the guest as the last refresh listed it. Idempotent."""
    await db.execute(_DETACH_FROM_GUEST, machine_id, pool_key, volume)
    await db.execute(_REMOVE, machine_id, pool_key, volume)
    await settle(db, machine_id)


async def set_pending(db: Db, disk_id: int, size_bytes: int | None) -> None:
    """Records the size that the disk has after the next start; None: as now."""
    await db.execute(_SET_PENDING, disk_id, size_bytes)


async def adopt(db: Db, disk_id: int, origin: DiskOrigin) -> bool:
    """Records the foreign disk as the machine's own. Returns False for a disk that is not foreign."""
    return await db.execute(_ADOPT, disk_id, origin.value) == "UPDATE 1"


async def other_users(db: Db, machine_id: int, storage_pool_id: int, volume: str) -> tuple[str, ...]:
    """Returns the names of other machines and guests that have the volume, as the last refresh listed them."""
    return tuple(row["name"] for row in await db.fetch(_OTHER_USERS, machine_id, storage_pool_id, volume))


async def settle(db: Db, machine_id: int) -> None:
    """The report of a discovery run that began earlier no longer counts."""
    await db.execute(_SETTLE, machine_id)
