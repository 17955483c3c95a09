"""SQL of the disks that were kept when their machine gave them up."""

from __future__ import annotations

from collections.abc import Collection

from regiond.db.pool import Db, of_row
from regiond.machines.values.disks import KeptDisk
from regiond.requests.caller import Caller, seen_by

_SELECT = """
    select k.id, k.host_id, h.name as host_name, k.storage_pool_id, s.name as storage_pool_name,
           s.pool_key as storage_pool_key, k.volume, k.size_bytes, k.tags, k.label, k.hostname, k.account_id,
           a.username as owner, k.pool_id, r.name as pool_name, k.kept_at,
           exists (select from orphaned_volume v
                    where v.storage_pool_id = k.storage_pool_id and v.name = k.volume)
           or not exists (select from installation i,  -- of an adopted disk: refreshes look for no such name
                                 lateral (select replace(i.id::text, '-', '') as hex) i_hex
                           where starts_with(k.volume, 'ik-' || hex || '-')
                              or starts_with(k.volume, 'ik-' || rtrim(translate(encode(
                                     decode(hex, 'hex'), 'base64'), '+/', '-_'), '=') || '-'))
           or k.kept_at > coalesce((select c.refreshed_at from vm_host_schedule c where c.host_id = k.host_id),
                                   '-infinity') as is_listed
      from kept_disk k
      join vm_host h on h.id = k.host_id
      join storage_pool s on s.id = k.storage_pool_id
      join resource_pool r on r.id = k.pool_id
      left join account a on a.id = k.account_id
"""
_LIST = (
    _SELECT
    + """
     where ($1::integer is null or k.id = $1)
       and ($2::integer is null or k.host_id = $2)
       and ($3::integer[] is null or k.pool_id = any($3) or k.account_id = $4)
     order by k.id
"""
)
_LOCK = "select 1 from kept_disk where id = $1 for update"
_IS_BEING_DELETED = """
    select exists (select from operation
                    where is_open and kind = 'clean_up' and (request ->> 'kept_disk')::integer = $1)
"""
# Regions of release 1.0 read `owner_id`: without it they let every operator of the pool use the disk.
_KEEP = """
    insert into kept_disk (host_id, storage_pool_id, volume, size_bytes, tags, label, hostname, owner_id, account_id,
                           pool_id)
    select m.host_id, d.storage_pool_id, d.volume, d.size_bytes, d.tags, d.label, m.hostname, a.id, a.id, m.pool_id
      from machine_disk d join machine m on m.id = d.machine_id
      left join account a on a.id = coalesce(m.owner_id, m.composed_by_id)
     where d.id = $2 and m.id = $1 and m.host_id is not null
    on conflict (storage_pool_id, volume) do nothing
    returning id
"""
# Of a disk `d`: its machine's guest is known, and does not have its volume.
_LACKED = """
    exists (select from guest g join storage_pool p on p.id = d.storage_pool_id
             where g.machine_id = d.machine_id and not exists (
                   select from jsonb_to_recordset(g.disks) f (device text, pool_id text, volume text)
                    where (f.pool_id, coalesce(f.volume, f.device)) = (p.pool_key, d.volume)))
"""
_LACKED_DISKS = f"select d.id from machine_disk d where d.machine_id = any($1::integer[]) and {_LACKED}"  # noqa: S608  a constant
_FIND = "select id from kept_disk where storage_pool_id = $1 and volume = $2"
_DELETE = "delete from kept_disk where id = $1"
_RESTORE = """
    insert into kept_disk (id, host_id, storage_pool_id, volume, size_bytes, tags, label, hostname, owner_id,
                           account_id, pool_id)
    select $1, h.id, s.id, $4, $5, $6, $7, $8, a.id, a.id, coalesce((select id from resource_pool where id = $10), 0)
      from vm_host h join storage_pool s on s.id = $3 left join account a on a.id = $9
     where h.id = $2
    on conflict do nothing
"""
# The next discovery run replaces the figure: what a volume takes that no guest uses, only the host knows.
_USED_ELSEWHERE = """
    update storage_pool p set used_elsewhere_bytes = greatest(0, p.used_elsewhere_bytes + $2)
      from storage_pool o
     where o.id = $1 and (p.id = o.id or (p.server_id = o.server_id and p.storage_id = o.storage_id
                                          and p.storage_id <> ''))
"""


async def list_kept(
    db: Db, *, disk_id: int | None = None, host_id: int | None = None, caller: Caller | None = None
) -> tuple[KeptDisk, ...]:
    """Returns the kept disks that the caller may see (no caller: all) by id; one of them, or those of a host."""
    rows = await db.fetch(_LIST, disk_id, host_id, *seen_by(caller))
    return tuple(of_row(KeptDisk, row, tags=tuple(row["tags"])) for row in rows)


async def lock(db: Db, disk_id: int) -> bool:
    """Locks the disk for the transaction. Returns False if there is none any more."""
    return await db.fetchval(_LOCK, disk_id) is not None


async def find(db: Db, storage_pool_id: int, volume: str) -> int | None:
    """Returns the id of the kept disk with this volume."""
    kept_id: int | None = await db.fetchval(_FIND, storage_pool_id, volume)
    return kept_id


async def is_being_deleted(db: Db, disk_id: int) -> bool:
    """Returns whether an operation deletes the volume. The caller holds the lock of the disk."""
    return await db.fetchval(_IS_BEING_DELETED, disk_id) is True


async def keep(db: Db, machine_id: int, disk_id: int) -> int | None:
    """Keeps a disk of the machine, whose row the caller deletes, for whoever has the machine. Returns its new id.

    Its space is no longer claimed, but used by something other than guests. The caller holds the lock of the server.
    """
    kept_id: int | None = await db.fetchval(_KEEP, machine_id, disk_id)
    if kept_id is not None:
        (kept,) = await list_kept(db, disk_id=kept_id)
        await db.execute(_USED_ELSEWHERE, kept.storage_pool_id, kept.size_bytes)
    return kept_id


async def lacked_disks(db: Db, machine_ids: Collection[int]) -> frozenset[int]:
    """Returns the ids of disks of these machines whose guest the host lists without their volume."""
    return frozenset(row["id"] for row in await db.fetch(_LACKED_DISKS, machine_ids))


async def take(db: Db, disk: KeptDisk) -> None:
    """Deletes the row of a disk that a machine is about to claim. The caller holds the lock of the server."""
    await db.execute(_DELETE, disk.id)
    await db.execute(_USED_ELSEWHERE, disk.storage_pool_id, -disk.size_bytes)


async def delete(db: Db, disk_id: int) -> None:
    """Deletes the row of a disk whose volume was deleted. Idempotent."""
    await db.execute(_DELETE, disk_id)


async def restore(db: Db, disk: KeptDisk) -> None:
    """Records the disk as kept again, with its id and for its account, if its host and storage pool still exist.

    If the account was deleted meanwhile, the disk is for administrators alone. Idempotent.
    """
    restored = await db.execute(
        _RESTORE, disk.id, disk.host_id, disk.storage_pool_id, disk.volume, disk.size_bytes, list(disk.tags),
        disk.label, disk.hostname, disk.account_id, disk.pool_id,
    )  # fmt: skip
    if restored == "INSERT 0 1":
        await db.execute(_USED_ELSEWHERE, disk.storage_pool_id, disk.size_bytes)
