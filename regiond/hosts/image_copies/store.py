"""SQL of the copies of images.

Functions that take `db` join the caller's transaction, which has locked the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import asdict, frozen

from common.values import DriverType
from regiond.db.pool import Db
from regiond.hosts.image_copies.model import CopyKey, CopySnapshot, CopyState, ImageCopyRecord
from regiond.hosts.image_copies.removal import RemovableCopy
from regiond.ledger import image_claims, totals
from regiond.ledger import store as ledger_store

_COPIES = """
    select coalesce(p.pool_key, '') as pool_id, c.project, c.sha256, c.size_bytes, c.state,
           c.changed_at < $2
           and not exists (select from operation o where o.id = c.operation_id and o.is_open)
           and not exists (select from operation o join vm_host h on h.id = o.host_id
                            where o.is_open and o.kind in ('deploy', 'insert_iso') and h.server_id = c.server_id
                              and o.request #>> '{image,sha256}' = c.sha256)
           and not (c.state = 'copying' and exists (
                    select from operation o join vm_host h on h.id = o.host_id
                     where o.is_open and o.kind in ('release', 'delete') and h.server_id = c.server_id)) as settled
      from image_copy c left join storage_pool p on p.id = c.storage_pool_id
     where c.server_id = $1
"""
_PROJECT = "select project from vm_host where id = $1 and driver = 'lxd'"
_WRITE = """
    insert into image_copy as c (server_id, storage_pool_id, project, sha256, size_bytes, state)
    select $1, p.id, found.project, found.sha256, found.size_bytes, found.state
      from jsonb_to_recordset($2::jsonb) found (
           pool_id text, project text, sha256 text, size_bytes bigint, state text)
      left join storage_pool p on p.server_id = $1 and p.pool_key = found.pool_id
     where p.id is not null or found.pool_id = ''
    on conflict (server_id, storage_pool_id, project, sha256) do update
       set size_bytes = excluded.size_bytes, state = excluded.state, operation_id = null, changed_at = now()
    returning id, storage_pool_id, size_bytes
"""
_IDS = """
    select c.id from image_copy c left join storage_pool p on p.id = c.storage_pool_id
      join unnest($2::text[], $3::text[], $4::text[]) as gone (pool_id, project, sha256)
        on (coalesce(p.pool_key, ''), c.project, c.sha256) = (gone.pool_id, gone.project, gone.sha256)
     where c.server_id = $1
"""
_DELETE = "delete from image_copy where id = any($1::integer[])"
_POOL = """
    select h.driver, h.project, p.id, p.type
      from vm_host h join storage_pool p on p.server_id = h.server_id
     where h.id = $1 and p.pool_key = $2
"""
_PLAN = """
    insert into image_copy as c (server_id, storage_pool_id, project, sha256, size_bytes, state)
    values ($1, $2, $3, $4, $5, 'copying')
    on conflict (server_id, storage_pool_id, project, sha256) do update
       set used_at = now(), changed_at = case when c.state = 'complete' then c.changed_at else now() end,
           size_bytes = case when c.state = 'complete' then c.size_bytes else excluded.size_bytes end,
           state = case when c.state = 'complete' then c.state else excluded.state end
     where not (c.state = 'removing'
                and exists (select from operation o where o.id = c.operation_id and o.is_open))
    returning id, state = 'complete' as is_complete
"""
_COMPLETE = """
    update image_copy c set state = 'complete', changed_at = now(), used_at = now()
      from vm_host h left join storage_pool p on p.server_id = h.server_id and p.pool_key = $3
     where h.id = $1 and c.server_id = h.server_id and c.sha256 = $2 and c.state <> 'complete'
       and (c.storage_pool_id = p.id or (c.storage_pool_id is null and c.project = h.project))
"""
# All hosts of a server share a copy in a storage pool. All hosts of a project, also those on other members of an LXD
# cluster, share an image store. LXD removes the unpacked image in a storage pool together with the image; a copy in a
# pool beside no image is one of an ISO image. Hosts that are also being removed, such as the other members of a
# cluster, do not count as users.
_REMOVABLE_WITH_HOST = """
    select c.id, c.sha256, coalesce(p.pool_key, '') as pool_id,
           coalesce('storage pool ' || p.name, 'the image store') as place, c.size_bytes
      from vm_host h join image_copy c on c.server_id = h.server_id left join storage_pool p on p.id = c.storage_pool_id
     where h.id = $1 and p.missing_since is null
       and case when h.driver = 'lxd' and c.storage_pool_id is not null and exists (
                     select from image_copy s where s.server_id = c.server_id and s.sha256 = c.sha256
                                                and s.storage_pool_id is null)
                then false
                when h.driver = 'lxd' and c.storage_pool_id is null
                then c.project = h.project
                     and not exists (select from vm_host o where o.id <> h.id and o.cluster_id = h.cluster_id
                                                             and o.project = h.project and o.state <> 'removing')
                else not exists (select from vm_host o where o.id <> h.id and o.server_id = h.server_id
                                                         and o.state <> 'removing') end
     order by c.id
"""
_DEPLOYING = "select min(id) from operation where host_id = $1 and kind in ('deploy', 'insert_iso') and is_open"
_BEGIN_REMOVAL = """
    update image_copy set state = 'removing', operation_id = $2, changed_at = now() where id = $1
"""
_REMOVED = "select id, server_id from image_copy where operation_id = $1 and state = 'removing'"


@frozen(kw_only=True)
class PoolOfHost:
    """A storage pool (its row id and type), as a host sees it."""

    driver: DriverType
    project: str
    id: int
    type: str


@frozen(kw_only=True)
class PlannedCopy:
    id: int
    is_complete: bool


async def read_snapshot(db: Db, server_id: int, host_id: int, began_at: datetime) -> CopySnapshot:
    """Returns the server's copies; `began_at` is the start of the run that is compared with them."""
    records = [
        ImageCopyRecord(**{**dict(row), "state": CopyState(row["state"])})
        for row in await db.fetch(_COPIES, server_id, began_at)
    ]
    return CopySnapshot(
        project=await db.fetchval(_PROJECT, host_id) or "", copies={record.key: record for record in records}
    )


async def write(db: Db, server_id: int, records: Sequence[ImageCopyRecord]) -> None:
    """Writes the copies found, with claims. Requires the rows of the storage pools. The caller recomputes totals."""
    if records:
        rows = await db.fetch(_WRITE, server_id, [asdict(record) for record in records])
        in_pools = [row for row in rows if row["storage_pool_id"] is not None]
        await image_claims.record_images(
            db, server_id, [(row["id"], row["storage_pool_id"], row["size_bytes"]) for row in in_pools]
        )


async def delete(db: Db, server_id: int, keys: Iterable[CopyKey]) -> None:
    """Deletes the rows and their claims. The caller recomputes totals. Idempotent."""
    keys = list(keys)
    if keys:
        columns = [list(column) for column in zip(*keys, strict=True)]
        ids = [row["id"] for row in await db.fetch(_IDS, server_id, *columns)]
        await image_claims.drop_images(db, ids)
        await db.execute(_DELETE, ids)


async def pool_of_host(db: Db, host_id: int, pool_key: str) -> PoolOfHost | None:
    row = await db.fetchrow(_POOL, host_id, pool_key)
    if row is None:
        return None
    return PoolOfHost(driver=DriverType(row["driver"]), project=row["project"], id=row["id"], type=row["type"])


async def plan(
    db: Db, server_id: int, sha256: str, size_bytes: int, *, pool_id: int | None, project: str
) -> PlannedCopy | None:
    """Records that a deployment uses the copy, which may exist, and returns it; None if it is being removed."""
    row = await db.fetchrow(_PLAN, server_id, pool_id, project, sha256, size_bytes)
    return None if row is None else PlannedCopy(**dict(row))


async def set_complete(db: Db, host_id: int, sha256: str, pool_key: str) -> None:
    await db.execute(_COMPLETE, host_id, sha256, pool_key)


async def removable_with_host(db: Db, host_id: int) -> tuple[RemovableCopy, ...]:
    """Returns the copies that no other host uses."""
    return tuple(RemovableCopy(**dict(row)) for row in await db.fetch(_REMOVABLE_WITH_HOST, host_id))


async def open_deployment(db: Db, host_id: int) -> int | None:
    """Returns the id of an operation that deploys a machine of the host."""
    found: int | None = await db.fetchval(_DEPLOYING, host_id)
    return found


async def begin_removal(db: Db, copy_id: int, operation_id: int) -> None:
    await db.execute(_BEGIN_REMOVAL, copy_id, operation_id)


async def delete_removed(db: Db, operation_id: int) -> None:
    """Deletes the copy that the operation has removed, and its claim. Idempotent."""
    row = await db.fetchrow(_REMOVED, operation_id)
    if row is not None:
        await ledger_store.lock_server(db, row["server_id"])
        await image_claims.drop_images(db, [row["id"]])
        await db.execute(_DELETE, [row["id"]])
        await totals.recompute_totals(db, row["server_id"])
