"""Volumes that no guest has, with all that the ledger knows of the machine that they are named after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from regiond.ledger import store as ledger
from regiond.reconciler.volumes import UnusedVolume

if TYPE_CHECKING:
    from regiond.db.pool import Db

# The host to remove it through: one of the volume's own project before others, then the oldest. What a straggler makes
# for a machine that was given up, it makes within minutes.
_UNUSED = """
    select v.id, v.name, v.project, p.pool_key, p.name as pool, v.size_bytes, v.marked_machine as mark,
           h.id as host_id, h.name as host_name, m.system_id, m.hostname, mh.name as machine_host,
           coalesce(mh.server_id = p.server_id, false) as machine_here, own.name as machine_guest,
           (select min(g.name) from guest g join installation i on i.id = g.marked_installation
             where g.marked_machine = v.marked_machine and g.machine_id is null) as guest_name,
           t.hostname as given_up,
           coalesce(t.volumes @> jsonb_build_array(jsonb_build_object(
               'server_id', p.server_id, 'pool', p.pool_key, 'name', v.name)), false) as made_here,
           coalesce(v.looked_at > t.given_up_at + interval '15 minutes', false) as was_elsewhere,
           f.hostname as forgotten,
           exists (select from operation o
                    where o.state in ('queued', 'running', 'waiting', 'undoing')
                      and (o.machine_id = m.id or (o.kind = 'remove_host' and o.host_id = h.id)
                           or (o.kind = 'clean_up'
                               and v.marked_machine::text in (o.request #>> '{guest,mark,machine_id}',
                                                              o.request #>> '{mark,machine_id}')))) as busy
      from unused_volume v
      join storage_pool p on p.id = v.storage_pool_id
      left join lateral (select id, name from vm_host h
                          where h.server_id = p.server_id and h.state <> 'removing'
                          order by (h.driver = 'lxd' and h.project <> v.project), id limit 1) h on true
      left join machine m on m.uuid = v.marked_machine
      left join vm_host mh on mh.id = m.host_id
      left join guest own on own.machine_id = m.id
      left join tombstone t on t.machine_uuid = v.marked_machine
      left join machine_forgotten f on f.uuid = v.marked_machine
     where p.missing_since is null and ($1::integer is null or v.id = $1)
     order by v.id
"""
_SERVER = """
    select p.server_id from unused_volume v join storage_pool p on p.id = v.storage_pool_id where v.id = $1
"""
_LOCK = "select 1 from unused_volume where id = $1 for update"


async def unused_volumes(db: Db, volume_id: int | None = None) -> tuple[UnusedVolume, ...]:
    return tuple(UnusedVolume(**dict(row)) for row in await db.fetch(_UNUSED, volume_id))


async def lock(db: Db, volume_id: int) -> None:
    """With its server: no look is taken in meanwhile."""
    server_id = await db.fetchval(_SERVER, volume_id)
    if server_id is not None:
        await ledger.lock_server(db, server_id)
    await db.execute(_LOCK, volume_id)
