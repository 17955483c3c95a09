"""SQL of what belongs to an account, in the tables of all rooms, and of its transfer to another."""

from __future__ import annotations

from regiond.accounts.belongings import Belonging, Belongings
from regiond.db.pool import Db, Row
from regiond.requests.deletion_plan import AffectedRecord

# Stock is nobody's: operators of its pool allocate it. The pool of a detached machine may exist no longer.
_OWNED = """
    select o.kind, o.id, coalesce(nullif(o.name, ''), o.id) as name, p.id as pool_id, p.name as pool
      from (
           select 1 as position, 'machine' as kind, system_id as id, hostname as name, pool_id
             from machine where owner_id = $1
           union all
           select 5, 'machine without owner', system_id, hostname, pool_id
             from machine where owner_id is null and composed_by_id = $1 and not (is_stock and state = 'ready')
           union all
           select 2, 'detached machine', uuid::text, hostname, pool_id from detached_machine where owner_id = $1
           union all
           select 3, 'device', system_id, hostname, null from device where owner_id = $1
           union all
           select 4, 'file', filename, filename, null from user_file where account_id = $1
           union all
           select 6, 'kept disk', id::text, coalesce(nullif(label, ''), 'disk') || ' of ' || hostname, pool_id
             from (select id, label, hostname, pool_id, account_id from kept_disk
                   union all select id, label, hostname, pool_id, account_id from detached_disk) k
            where account_id = $1
           union all
           select 7, 'export', id::text, name, null from machine_export where account_id = $1
           ) o left join resource_pool p on p.id = o.pool_id
     order by o.position, o.name, o.id
"""
_CREDENTIALS = """
    select c.kind, c.id, coalesce(nullif(c.name, ''), c.id) as name
      from (
           select 1 as position, 'API key' as kind, token_key as id, name from api_key where account_id = $1
           union all
           select 2, 'RPC client', id::text, name from rpc_client where account_id = $1 and revoked_at is null
           union all
           select 3, 'SSH key', id::text, fingerprint from ssh_key where account_id = $1
           union all
           select 4, 'quota', q.id::text, a.username from quota q join account a on a.id = q.account_id where a.id = $1
           ) c
     order by c.position, c.name, c.id
"""
_FILES_OF_BOTH = """
    select filename from user_file where account_id = $1
    intersect
    select filename from user_file where account_id = $2
    order by filename
"""
# A machine that somebody else owns stays that user's; after its release it is for administrators alone.
_TRANSFER_MADE = """
    update machine set composed_by_id = $2 where composed_by_id = $1 and (owner_id is null or owner_id = $1)
"""
_TRANSFER_MACHINES = "update machine set owner_id = $2 where owner_id = $1"
_TRANSFER_DETACHED = """
    update detached_machine set owner_id = case when owner_id = $1 then $2 else owner_id end, composed_by_id = $2
     where owner_id = $1 or (owner_id is null and composed_by_id = $1)
"""
_TRANSFER_DEVICES = "update device set owner_id = $2 where owner_id = $1"
_TRANSFER_FILES = "update user_file set account_id = $2 where account_id = $1"
_TRANSFER_KEPT_DISKS = "update kept_disk set account_id = $2, owner_id = $2 where account_id = $1"
_TRANSFER_DETACHED_DISKS = "update detached_disk set account_id = $2 where account_id = $1"
_TRANSFER_EXPORTS = "update machine_export set account_id = $2 where account_id = $1"


async def belongings(db: Db, account_id: int) -> Belongings:
    owned = tuple(
        Belonging(record=_record(row), pool_id=row["pool_id"], pool=row["pool"])
        for row in await db.fetch(_OWNED, account_id)
    )
    return Belongings(owned=owned, credentials=tuple(map(_record, await db.fetch(_CREDENTIALS, account_id))))


def _record(row: Row) -> AffectedRecord:
    return AffectedRecord(kind=row["kind"], id=row["id"], name=row["name"])


async def files_of_both(db: Db, account_id: int, other_id: int) -> tuple[str, ...]:
    """Returns the names of the files that both accounts have."""
    return tuple(row["filename"] for row in await db.fetch(_FILES_OF_BOTH, account_id, other_id))


async def transfer(db: Db, account_id: int, to_account_id: int) -> None:
    """Makes all that belongs to the first account belong to the second one."""
    await db.execute(_TRANSFER_MADE, account_id, to_account_id)
    await db.execute(_TRANSFER_MACHINES, account_id, to_account_id)
    await db.execute(_TRANSFER_DETACHED, account_id, to_account_id)
    await db.execute(_TRANSFER_DEVICES, account_id, to_account_id)
    await db.execute(_TRANSFER_FILES, account_id, to_account_id)
    await db.execute(_TRANSFER_KEPT_DISKS, account_id, to_account_id)
    await db.execute(_TRANSFER_DETACHED_DISKS, account_id, to_account_id)
    await db.execute(_TRANSFER_EXPORTS, account_id, to_account_id)
