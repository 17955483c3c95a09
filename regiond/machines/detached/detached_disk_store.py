"""SQL of kept disks whose host was removed: their volumes stay there, and return with the host."""

from __future__ import annotations

from regiond.db.pool import Db

_DETACH = """
    insert into detached_disk (id, host_name, driver, project, server_identity, pool_key, storage_pool_name, volume,
                               size_bytes, tags, label, hostname, account_id, pool_id, kept_at)
    select k.id, h.name, h.driver, h.project, s.identity, p.pool_key, p.name, k.volume,
           k.size_bytes, k.tags, k.label, k.hostname, k.account_id, k.pool_id, k.kept_at
      from kept_disk k join vm_host h on h.id = k.host_id join storage_pool p on p.id = k.storage_pool_id
      join server s on s.id = p.server_id
     where k.host_id = $1
    on conflict (id) do nothing
"""
# The name of a volume of ours is that of no other one, so it is the disk on whatever server a refresh finds it. Any
# other name says something only on the server of then. A volume that became a machine's own disk is kept no longer.
_RESTORE = """
    with returned as (
        delete from detached_disk d
         using vm_host h, server s, storage_pool p
         where h.id = $1 and s.id = h.server_id and p.server_id = s.id and p.pool_key = d.pool_key
           and p.missing_since is null and d.driver = h.driver and d.project = h.project
           and d.detached_at < h.created_at
           and (s.identity = d.server_identity
                or exists (select from orphaned_volume v where v.storage_pool_id = p.id and v.name = d.volume))
        returning d.*, h.id as host_id, h.pool_id as host_pool_id, p.id as storage_pool_id)
    insert into kept_disk (id, host_id, storage_pool_id, volume, size_bytes, tags, label, hostname, owner_id,
                           account_id, pool_id, kept_at)
    select r.id, r.host_id, r.storage_pool_id, r.volume, r.size_bytes, r.tags, r.label, r.hostname, r.account_id,
           r.account_id, coalesce((select id from resource_pool where id = r.pool_id), r.host_pool_id), r.kept_at
      from returned r
     where not exists (select from machine_disk d
                        where (d.storage_pool_id, d.volume) = (r.storage_pool_id, r.volume) and d.origin <> 'foreign')
    on conflict do nothing
    returning (select name from storage_pool p where p.id = storage_pool_id) || '/' || volume as place
"""


async def detach(db: Db, host_id: int) -> None:
    """Copies the kept disks of a host that is about to be removed. Idempotent."""
    await db.execute(_DETACH, host_id)


async def restore(db: Db, host_id: int) -> tuple[str, ...]:
    """Restores the kept disks whose volumes are on this host, which was added after they were detached.

    Returns their storage pools and volumes as texts. Idempotent.
    """
    return tuple(sorted(row["place"] for row in await db.fetch(_RESTORE, host_id)))
