"""What was given up: machines whose marks and volumes are ours to remove wherever they come to light."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from regiond.db.pool import Db

# A volume that another guest has as well stays with that guest, and is no longer ours alone.
_BURY = """
    insert into tombstone as t (machine_uuid, hostname, host_name, reason, volumes)
    select $1, $2, $3, $4,
           coalesce(jsonb_agg(jsonb_build_object('server_id', h.server_id, 'pool', v.pool, 'name', v.name)
                              order by v.pool, v.name) filter (where h.server_id is not null), '[]')
      from jsonb_to_recordset($6::jsonb) v (pool text, name text)
      left join vm_host h on h.id = $5
           and not exists (select from guest g
                            where g.server_id = h.server_id and g.marked_machine is distinct from $1
                              and g.disks @> jsonb_build_array(jsonb_build_object('pool_id', v.pool, 'volume', v.name)))
    on conflict (machine_uuid) do update
       set reason = excluded.reason, given_up_at = clock_timestamp(), volumes = t.volumes || excluded.volumes
"""


async def bury(
    db: Db, machine: UUID, hostname: str, host: tuple[int, str], reason: str, volumes: Iterable[tuple[str, str]]
) -> None:
    """Remember that we gave it up: a guest that carries its mark later is ours to remove, and of volumes those that
    were made for it on that host (id, name), as (storage pool, volume), but for those that another guest has too."""
    places = [{"pool": pool, "name": name} for pool, name in volumes]
    await db.execute(_BURY, machine, hostname, host[1], reason, host[0], places)
