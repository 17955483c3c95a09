"""Rows of orphaned volumes: volumes named after our marker that no guest uses."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import asdict

from common.hosts.discovery import Discovery, VolumeRef
from common.serialization import to_dict
from regiond.db.pool import Db
from regiond.hosts.discovery.orphaned_volumes import VolumeChanges, VolumeRecord, VolumeSnapshot
from regiond.ledger import store as ledger_store

_VOLUMES = """
    select p.pool_key as pool_id, v.project, v.name, v.marker_machine, v.size_bytes
      from orphaned_volume v join storage_pool p on p.id = v.storage_pool_id
     where p.server_id = $1
"""
_UNSETTLED = """
    select m.uuid from machine m
     where m.uuid = any($1::uuid[])
       and (m.settled_at >= $2
            or exists (select from operation o
                        where o.machine_id = m.id and o.is_open))
    union
    select machine_uuid from tombstone where machine_uuid = any($1::uuid[]) and recorded_at >= $2
"""
_WRITE = """
    insert into orphaned_volume (storage_pool_id, project, name, marker_machine, size_bytes, last_absent_at)
    select p.id, found.project, found.name, found.marker_machine, found.size_bytes,
           (select max(s.refreshed_at) from vm_host_schedule s join vm_host h on h.id = s.host_id
             where h.server_id = $1)
      from jsonb_to_recordset($2::jsonb) found (
           pool_id text, project text, name text, marker_machine uuid, size_bytes bigint)
      join storage_pool p on p.server_id = $1 and p.pool_key = found.pool_id
    on conflict (storage_pool_id, project, name) do update
       set marker_machine = excluded.marker_machine, size_bytes = excluded.size_bytes
"""
_DELETE = """
    delete from orphaned_volume v
     using storage_pool p, jsonb_to_recordset($2::jsonb) deleted (pool_id text, project text, name text)
     where p.id = v.storage_pool_id and p.server_id = $1 and p.pool_key = deleted.pool_id
       and v.project = deleted.project and v.name = deleted.name
"""


async def read(db: Db, server_id: int, discovery: Discovery, began_at: datetime) -> VolumeSnapshot:
    """Returns the server's rows, and the unsettled machines among those of the volumes in `discovery`."""
    rows = [VolumeRecord(**dict(row)) for row in await db.fetch(_VOLUMES, server_id)]
    machines = list({volume.marker.machine_id for volume in discovery.orphaned_volumes})
    unsettled = await db.fetch(_UNSETTLED, machines, began_at) if machines else []
    return VolumeSnapshot(volumes={row.key: row for row in rows}, unsettled=frozenset(row["uuid"] for row in unsettled))


async def write(db: Db, server_id: int, changes: VolumeChanges) -> None:
    """Writes the changes. Requires the server's lock and the rows of its storage pools."""
    if changes.written:
        await db.execute(_WRITE, server_id, [asdict(record) for record in changes.written])
    deleted = [{"pool_id": pool_id, "project": project, "name": name} for pool_id, project, name in changes.deleted]
    if deleted:
        await db.execute(_DELETE, server_id, deleted)


async def delete_orphaned_volumes(db: Db, host_id: int, volumes: Sequence[VolumeRef]) -> None:
    """Deletes the rows of volumes that were removed from the host's server. Idempotent."""
    server_id = await ledger_store.server_of_host(db, host_id)
    deleted = [{"pool_id": volume.pool_id, "project": volume.project, "name": volume.name} for volume in volumes]
    await db.execute(_DELETE, server_id, to_dict(deleted))
