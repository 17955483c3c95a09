"""Records the sizes of disks of a machine, and those that they get at its next start."""

from __future__ import annotations

from collections.abc import Iterable

from common.guests.sizes import DiskSize
from regiond.db.pool import Db

_SET_SIZES = """
    update machine_disk d
       set size_bytes = f.size_bytes,
           pending_size_bytes = case when d.pending_size_bytes > f.size_bytes then d.pending_size_bytes end
      from jsonb_to_recordset($2::jsonb) f (pool_id text, volume text, size_bytes bigint)
      join storage_pool p on p.pool_key = f.pool_id
     where d.machine_id = $1 and d.storage_pool_id = p.id and d.volume = f.volume
"""
_SET_GUEST_SIZES = """
    update guest set disks = (
           select coalesce(jsonb_agg(case when f.size_bytes is null then one
                                          else jsonb_set(one, '{size_bytes}', to_jsonb(f.size_bytes)) end
                                     order by number), '[]')
             from jsonb_array_elements(disks) with ordinality disk (one, number)
             left join jsonb_to_recordset($2::jsonb) f (pool_id text, volume text, size_bytes bigint)
               on (one ->> 'pool_id', one ->> 'volume') = (f.pool_id, f.volume))
     where machine_id = $1
"""


async def record_sizes(db: Db, machine_id: int, sizes: Iterable[DiskSize]) -> None:
    """Records the sizes that these disks have now. A pending size that is reached is pending no longer."""
    rows = [{"pool_id": one.pool_id, "volume": one.volume, "size_bytes": one.size_bytes} for one in sizes]
    if rows:
        await db.execute(_SET_SIZES, machine_id, rows)
        await db.execute(_SET_GUEST_SIZES, machine_id, rows)
