"""SQL for marked guests, and for moving a machine to the host of its guest."""

from __future__ import annotations

import asyncpg
from attrs import frozen

from regiond.db.pool import Db, of_row
from regiond.hosts.restored_guests import REAPPEARED, Tombstone
from regiond.reconciler.guests.detection import MarkedGuest

# A guest belongs to the oldest host that sees its LXD project.
_MARKED_GUESTS = f"""
    select g.id, g.name, g.guest_key, g.marker_machine as marker, h.id as host_id, h.name as host_name,
           m.system_id, m.hostname, mh.name as machine_host, own.name as machine_guest,
           t.hostname as deleted_hostname, t.was_composed, t.guest_key as deleted_guest_key,
           {REAPPEARED} as reappeared,
           exists (select from detached_machine f where f.uuid = g.marker_machine and not f.lost) as detached,
           exists (select from operation o
                    where o.is_open
                      and (o.machine_id = m.id
                           or (o.kind = 'clean_up' and o.host_id = h.id
                               and g.marker_machine::text in (o.request #>> '{{guest,marker,machine_id}}',
                                                              o.request #>> '{{copy,marker,machine_id}}')))) as busy
      from guest g
      join installation i on i.id = g.marker_installation
      left join lateral (select id, name from vm_host h
                          where h.server_id = g.server_id and (h.driver <> 'lxd' or h.project = g.project)
                          order by id limit 1) h on true
      left join machine m on m.uuid = g.marker_machine
      left join tombstone t on t.machine_uuid = g.marker_machine
      left join vm_host mh on mh.id = m.host_id
      left join guest own on own.machine_id = m.id
     where g.machine_id is null and g.marker_machine is not null and ($1::integer is null or g.id = $1)
     order by g.id
"""  # noqa: S608  a constant
_LOCATION = """
    select g.server_id, m.id as machine_id
      from guest g join machine m on m.uuid = g.marker_machine where g.id = $1
"""
# A machine in the zone of its host stays in the zone of its host; another zone was chosen for it.
_MOVE = """
    update machine m
       set host_id = new.id, settled_at = clock_timestamp(),
           zone_id = case when m.zone_id = (select old.zone_id from vm_host old where old.id = m.host_id)
                          then new.zone_id else m.zone_id end
      from vm_host new
     where m.id = $1 and new.id = $2
"""
# A disk that is not a volume of its own is identified by its device.
_MOVE_DISKS = """
    update machine_disk d set storage_pool_id = p.id
      from guest g, jsonb_to_recordset(g.disks) f (pool_id text, volume text, device text), storage_pool p
     where d.machine_id = $1 and g.id = $2 and coalesce(f.volume, f.device) = d.volume
       and p.server_id = g.server_id and p.pool_key = f.pool_id
"""
_DISKS_ELSEWHERE = """
    select d.volume from machine_disk d join storage_pool p on p.id = d.storage_pool_id
     where d.machine_id = $1 and p.server_id <> (select server_id from guest where id = $2)
     order by d.index
"""


@frozen(kw_only=True)
class GuestLocation:
    """The server that a guest is on, and the machine that its marker names (row ids)."""

    server_id: int
    machine_id: int


async def marked_guests(db: Db, guest_id: int | None = None) -> tuple[MarkedGuest, ...]:
    """Returns all guests with our marker that are no machine's guest, or the one with `guest_id`."""
    return tuple(_marked_guest(row) for row in await db.fetch(_MARKED_GUESTS, guest_id))


def _marked_guest(row: asyncpg.Record) -> MarkedGuest:
    tombstone = None
    if row["deleted_hostname"] is not None:
        tombstone = Tombstone(was_composed=row["was_composed"], guest_key=row["deleted_guest_key"])
    return of_row(MarkedGuest, row, tombstone=tombstone)


async def read_location(db: Db, guest_id: int) -> GuestLocation | None:
    """Returns the location; None if the guest was deleted, or its marker names no machine."""
    row = await db.fetchrow(_LOCATION, guest_id)
    return None if row is None else GuestLocation(**dict(row))


async def move_machine(db: Db, machine_id: int, host_id: int, guest_id: int) -> tuple[str, ...]:
    """Moves the machine and its disks to the guest's host; returns the volumes that the guest does not have there.

    If it returns any, the caller must roll back.
    """
    await db.execute(_MOVE, machine_id, host_id)
    await db.execute(_MOVE_DISKS, machine_id, guest_id)
    return tuple(row["volume"] for row in await db.fetch(_DISKS_ELSEWHERE, machine_id, guest_id))
