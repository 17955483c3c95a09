"""SQL of disks that move: the second volume of a disk, and the names that are free."""

from __future__ import annotations

from uuid import UUID

from regiond.db.pool import Db
from regiond.machines.hardware.disks.store import settle

# As for a new disk, also of another machine, for which an attached disk was made.
_NEXT_INDEX = """
    select coalesce(max(substring(v.name from '-([0-9]{1,4})$')::integer), -1) + 1
      from machine m,
           lateral (select v.name from orphaned_volume v where v.marker_machine = $2
                    union all
                    select k.volume from kept_disk k where k.host_id = m.host_id
                    union all
                    select named.volume
                      from machine_disk d join machine other on other.id = d.machine_id,
                           lateral (values (d.volume), (d.second_volume)) named (volume)
                     where other.host_id = m.host_id or other.uuid = $2
                    union all
                    select f.volume from guest g, jsonb_to_recordset(g.disks) f (volume text)
                     where g.machine_id = m.id) v
     where m.id = $1 and v.name like 'ik-%-' || replace($2::uuid::text, '-', '') || '-%'
"""
_BEGIN = """
    update machine_disk set second_storage_pool_id = $2, second_volume = $3 where id = $1 and second_volume is null
"""
_SWAP = """
    update machine_disk
       set storage_pool_id = second_storage_pool_id, volume = second_volume,
           second_storage_pool_id = storage_pool_id, second_volume = volume,
           root_volume = case when index = 0 then second_volume end,
           origin = 'created'  -- the copy is named after a machine, whatever the volume of before was
     where id = $1 and second_storage_pool_id = $2 and second_volume = $3
"""
_END = "update machine_disk set second_storage_pool_id = null, second_volume = null where id = $1"
_USES_COPY = "select storage_pool_id = $2 and volume = $3 from machine_disk where id = $1"


async def next_index(db: Db, machine_id: int, named_after: UUID) -> int:
    """Returns the next number for a volume that is named after a machine, on the host of the machine `machine_id`."""
    index: int = await db.fetchval(_NEXT_INDEX, machine_id, named_after)
    return index


async def begin(db: Db, disk_id: int, pool_id: int, volume: str) -> None:
    """Records the copy, whose space the caller has claimed, as the disk's second volume."""
    await db.execute(_BEGIN, disk_id, pool_id, volume)


async def use_copy(db: Db, machine_id: int, disk_id: int, copy_pool_id: int, copy: str) -> None:
    """Makes the copy the disk's volume, and the volume of before its second one. Idempotent."""
    await db.execute(_SWAP, disk_id, copy_pool_id, copy)
    await settle(db, machine_id)


async def uses_copy(db: Db, disk_id: int, copy_pool_id: int, copy: str) -> bool:
    """Returns whether the copy is recorded as the disk's volume."""
    return await db.fetchval(_USES_COPY, disk_id, copy_pool_id, copy) is True


async def end(db: Db, machine_id: int, disk_id: int) -> None:
    """The disk has one volume. The caller frees the space of the other one. Idempotent."""
    await db.execute(_END, disk_id)
    await settle(db, machine_id)
