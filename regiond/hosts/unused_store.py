"""The rows of volumes that are named after a mark of ours and that no guest has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import asdict

from common.discovery import Discovery, VolumeRef
from common.wire import to_plain
from regiond.hosts.unused import KnownVolumes, VolumeChanges, VolumeRow

if TYPE_CHECKING:
    from regiond.db.pool import Db

_KNOWN = """
    select p.pool_key as pool_id, v.project, v.name, v.marked_machine, v.size_bytes
      from unused_volume v join storage_pool p on p.id = v.storage_pool_id
     where p.server_id = $1
"""
_LEFT_ALONE = """
    select m.uuid from machine m
     where m.uuid = any($1::uuid[])
       and (m.settled_at >= $2
            or exists (select from operation o
                        where o.machine_id = m.id and o.state in ('queued', 'running', 'waiting', 'undoing')))
    union
    select machine_uuid from tombstone where machine_uuid = any($1::uuid[]) and given_up_at >= $2
"""
_WRITE = """
    insert into unused_volume (storage_pool_id, project, name, marked_machine, size_bytes, looked_at)
    select p.id, found.project, found.name, found.marked_machine, found.size_bytes,
           (select max(s.refreshed_at) from vm_host_schedule s join vm_host h on h.id = s.host_id
             where h.server_id = $1)
      from jsonb_to_recordset($2::jsonb) found (
           pool_id text, project text, name text, marked_machine uuid, size_bytes bigint)
      join storage_pool p on p.server_id = $1 and p.pool_key = found.pool_id
    on conflict (storage_pool_id, project, name) do update
       set marked_machine = excluded.marked_machine, size_bytes = excluded.size_bytes
"""
_DROP = """
    delete from unused_volume v
     using storage_pool p, jsonb_to_recordset($2::jsonb) gone (pool_id text, project text, name text)
     where p.id = v.storage_pool_id and p.server_id = $1 and p.pool_key = gone.pool_id
       and v.project = gone.project and v.name = gone.name
"""
_SERVER_OF_HOST = "select server_id from vm_host where id = $1"


async def read_known(db: Db, server_id: int, found: Discovery, began_at: datetime) -> KnownVolumes:
    """What is known of the server's, and which of the machines that `found` tells volumes of are left alone."""
    rows = [VolumeRow(**dict(row)) for row in await db.fetch(_KNOWN, server_id)]
    marked = list({one.mark.machine_id for one in found.unused_volumes})
    left_alone = await db.fetch(_LEFT_ALONE, marked, began_at) if marked else []
    return KnownVolumes(volumes={row.key: row for row in rows}, left_alone=frozenset(row["uuid"] for row in left_alone))


async def write(db: Db, server_id: int, changes: VolumeChanges) -> None:
    """Under the server's lock; its storage pools are written."""
    if changes.written:
        await db.execute(_WRITE, server_id, [asdict(row) for row in changes.written])
    gone = [{"pool_id": pool_id, "project": project, "name": name} for pool_id, project, name in changes.gone]
    if gone:
        await db.execute(_DROP, server_id, gone)


async def removed(db: Db, host_id: int, volumes: Sequence[VolumeRef]) -> None:
    """They were removed from the server of this host."""
    server_id = await db.fetchval(_SERVER_OF_HOST, host_id)
    gone = [{"pool_id": one.pool_id, "project": one.project, "name": one.name} for one in volumes]
    await db.execute(_DROP, server_id, to_plain(gone))
