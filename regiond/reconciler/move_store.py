"""A machine whose guest is on another host than it: where the guest is, and the machine moved there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from regiond.db.pool import Db

_PLACE = """
    select g.server_id, m.id as machine_id
      from guest g join machine m on m.uuid = g.marked_machine where g.id = $1
"""
_MOVE = "update machine set host_id = $2, settled_at = clock_timestamp() where id = $1"
# A disk that is no volume of its own goes by its device.
_DISKS = """
    update machine_disk d set storage_pool_id = p.id
      from guest g, jsonb_to_recordset(g.disks) f (pool_id text, volume text, device text), storage_pool p
     where d.machine_id = $1 and g.id = $2 and coalesce(f.volume, f.device) = d.volume
       and p.server_id = g.server_id and p.pool_key = f.pool_id
"""
_LOST = """
    select d.volume from machine_disk d join storage_pool p on p.id = d.storage_pool_id
     where d.machine_id = $1 and p.server_id <> (select server_id from guest where id = $2)
     order by d.index
"""


@frozen(kw_only=True)
class Place:
    server_id: int
    machine_id: int


async def place_of(db: Db, guest_id: int) -> Place | None:
    """The server that a guest is on, and the machine that it carries the mark of."""
    row = await db.fetchrow(_PLACE, guest_id)
    return None if row is None else Place(**dict(row))


async def move(db: Db, machine_id: int, host_id: int, guest_id: int) -> tuple[str, ...]:
    """The machine and its disks are on that host, where its guest is. Which disks the guest does not have there: with
    any, the caller's transaction must not go on."""
    await db.execute(_MOVE, machine_id, host_id)
    await db.execute(_DISKS, machine_id, guest_id)
    return tuple(row["volume"] for row in await db.fetch(_LOST, machine_id, guest_id))
