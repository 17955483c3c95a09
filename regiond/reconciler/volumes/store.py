"""SQL for volumes that no guest of their server uses, with the machine that each is named after."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.hosts.restored_guests import STALE_CALL
from regiond.ledger import store as ledger_store
from regiond.reconciler.volumes.detection import OrphanedVolume

# A volume is removed through the oldest host of its own project, else of its server. No two disks get the same name: a
# volume with the name of another disk is that disk, seen through a folder that two hosts share.
_ORPHANED_VOLUMES = f"""
    with listed as (select name from orphaned_volume where $1::integer is null or id = $1),
         found as (
             select d.volume, 'a disk of ' || m.hostname || coalesce(' on ' || h.name, '') as holder
               from (select machine_id, volume from machine_disk
                     union all select machine_id, second_volume from machine_disk) d
               join machine m on m.id = d.machine_id left join vm_host h on h.id = m.host_id
              where d.volume in (select name from listed)
             union all
             select k.volume, 'a kept disk of ' || h.name from kept_disk k join vm_host h on h.id = k.host_id
              where k.volume in (select name from listed)
             union all
             select d.volume, 'a disk that was kept on ' || d.host_name || ', which was removed' from detached_disk d
              where d.volume in (select name from listed)
             union all
             select d.volume, 'a disk of ' || g.name || coalesce(
                        ' on ' || (select min(h.name) from vm_host h where h.server_id = g.server_id), '')
               from guest g, jsonb_to_recordset(g.disks) d (volume text)
              where d.volume in (select name from listed)),
         used as (select volume, min(holder) as holder from found group by volume)
    select v.id, v.name, v.project, p.pool_key, p.name as pool, v.size_bytes, v.marker_machine as marker,
           h.id as host_id, h.name as host_name, m.system_id, m.hostname, mh.name as machine_host,
           coalesce(mh.server_id = p.server_id, false) as machine_here, own.name as machine_guest,
           (select min(g.name) from guest g join installation i on i.id = g.marker_installation
             where g.marker_machine = v.marker_machine and g.machine_id is null) as guest_name,
           t.hostname as deleted_hostname, coalesce(t.was_composed, true) as was_composed,
           coalesce(t.volumes @> jsonb_build_array(jsonb_build_object(
               'server_id', p.server_id, 'pool', p.pool_key, 'name', v.name)), false) as created_here,
           coalesce(v.last_absent_at > t.recorded_at + {STALE_CALL}, false) as was_attached,
           f.hostname as detached_hostname,
           u.holder as used_by,
           exists (select from operation o
                    where o.is_open
                      and (o.machine_id = m.id or (o.kind = 'remove_host' and o.host_id = h.id)
                           or (o.kind = 'clean_up'
                               and v.marker_machine::text in (o.request #>> '{{guest,marker,machine_id}}',
                                                              o.request #>> '{{marker,machine_id}}'))))
           or exists (select from machine_disk d join operation o on o.machine_id = d.machine_id and o.is_open
                       where v.name in (d.volume, d.second_volume)) as busy
      from orphaned_volume v
      join storage_pool p on p.id = v.storage_pool_id
      left join lateral (select id, name from vm_host h
                          where h.server_id = p.server_id and h.state <> 'removing'
                          order by (h.driver = 'lxd' and h.project <> v.project), id limit 1) h on true
      left join machine m on m.uuid = v.marker_machine
      left join vm_host mh on mh.id = m.host_id
      left join guest own on own.machine_id = m.id
      left join tombstone t on t.machine_uuid = v.marker_machine
      left join detached_machine f on f.uuid = v.marker_machine
      left join used u on u.volume = v.name
     where p.missing_since is null and p.status = 'available' and ($1::integer is null or v.id = $1)
       and not exists (select from kept_disk k where k.storage_pool_id = v.storage_pool_id and k.volume = v.name)
     order by v.id
"""  # noqa: S608  a constant
_SERVER = """
    select p.server_id from orphaned_volume v join storage_pool p on p.id = v.storage_pool_id where v.id = $1
"""
_LOCK = "select 1 from orphaned_volume where id = $1 for update"


async def orphaned_volumes(db: Db, volume_id: int | None = None) -> tuple[OrphanedVolume, ...]:
    """Returns all volumes that no guest of their server uses, or the one with `volume_id`."""
    return tuple(OrphanedVolume(**dict(row)) for row in await db.fetch(_ORPHANED_VOLUMES, volume_id))


async def lock(db: Db, volume_id: int) -> None:
    """Locks the volume and its server, so that no discovery run changes it."""
    server_id = await db.fetchval(_SERVER, volume_id)
    if server_id is not None:
        await ledger_store.lock_server(db, server_id)
    await db.execute(_LOCK, volume_id)
