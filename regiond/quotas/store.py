"""SQL of quotas and of what counts for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from regiond.db.pool import Db, Row
from regiond.quotas.model import RESOURCES, Holdings, Limits, Quota
from regiond.requests.caller import Caller, seen_by

_SELECT = """
    select q.id, q.account_id, a.username, q.pool_id, p.name as pool, q.machines, q.cores, q.memory_mib,
           q.storage_bytes
      from quota q left join account a on a.id = q.account_id left join resource_pool p on p.id = q.pool_id
"""
_LIST = (
    _SELECT
    + """
     where ($1::integer is null or q.id = $1)
       and ($2::integer[] is null or q.pool_id = any($2) or q.account_id = $3)
     order by q.id
"""
)
_CONCERNED = "select id from quota where account_id = any($1::integer[]) or pool_id = any($2::integer[])"
_SEVERAL = _SELECT + " where q.id = any($1::integer[]) order by q.id"
_LOCK = _SELECT + " where q.id = any($1::integer[]) order by q.id for no key update of q"
_TRY_LOCK = _LOCK + " skip locked"
# A machine without owner counts for the account that composed it. One that is being deleted counts until it is gone,
# one whose compose failed not at all.
_USED = """
    select q.id, count(m.id) as machines, coalesce(sum(greatest(m.cores, m.pending_cores)), 0)::bigint as cores,
           coalesce(sum(greatest(m.memory_mib, m.pending_memory_mib)), 0)::bigint as memory_mib,
           (coalesce(sum((select sum(greatest(d.size_bytes, d.pending_size_bytes))
                            from machine_disk d where d.machine_id = m.id)), 0)
            + coalesce((select sum(k.size_bytes) from kept_disk k
                         where k.pool_id = q.pool_id or k.account_id = q.account_id), 0))::bigint as storage_bytes
      from quota q
      left join lateral (
           select * from machine where pool_id = q.pool_id
           union all
           select * from machine where owner_id = q.account_id
           union all
           select * from machine where owner_id is null and composed_by_id = q.account_id
           ) m on m.state <> 'failed_compose'
     where q.id = any($1::integer[])
     group by q.id
"""
_INSERT = """
    insert into quota (account_id, pool_id, machines, cores, memory_mib, storage_bytes)
    values ($1, $2, $3, $4, $5, $6)
    returning id
"""
_UPDATE = "update quota set machines = $2, cores = $3, memory_mib = $4, storage_bytes = $5 where id = $1"
_DELETE = "delete from quota where id = $1"
_ACCOUNT = "select id from account where username = $1"
_MACHINE = """
    select greatest(cores, pending_cores) as cores, greatest(memory_mib, pending_memory_mib) as memory_mib,
           coalesce((select sum(greatest(d.size_bytes, d.pending_size_bytes))
                       from machine_disk d where d.machine_id = m.id), 0)::bigint as storage_bytes
      from machine m where id = $1 and state <> 'failed_compose'
"""


async def list_quotas(db: Db, quota_id: int | None = None, *, caller: Caller | None = None) -> tuple[Quota, ...]:
    """Returns all or that one by id, with their usage: of these the caller's own and those of pools that it sees."""
    return await _with_usage(db, await db.fetch(_LIST, quota_id, *seen_by(caller)))


async def concerned(db: Db, account_ids: Iterable[int], pool_ids: Iterable[int]) -> frozenset[int]:
    """Returns the ids of the quotas of these accounts and resource pools."""
    return frozenset(row["id"] for row in await db.fetch(_CONCERNED, list(account_ids), list(pool_ids)))


async def read_several(db: Db, quota_ids: Iterable[int]) -> tuple[Quota, ...]:
    """Returns the quotas in id order with their usage. Locks nothing."""
    return await _with_usage(db, await db.fetch(_SEVERAL, sorted(quota_ids)))


async def lock(db: Db, quota_ids: Iterable[int], *, wait: bool) -> tuple[Quota, ...]:
    """Locks the quotas in id order until the transaction ends and returns them with their usage.

    Without `wait`, those that another transaction has locked are left out.
    """
    rows = await db.fetch(_LOCK if wait else _TRY_LOCK, sorted(quota_ids))
    return await _with_usage(db, rows)


async def insert(db: Db, *, account_id: int | None, pool_id: int | None, limits: Limits) -> int:
    """Raises asyncpg.UniqueViolationError if there is one."""
    quota_id: int = await db.fetchval(_INSERT, account_id, pool_id, *_columns(limits))
    return quota_id


async def update(db: Db, quota_id: int, limits: Limits) -> None:
    await db.execute(_UPDATE, quota_id, *_columns(limits))


async def delete(db: Db, quota_id: int) -> None:
    await db.execute(_DELETE, quota_id)


async def account_id_of(db: Db, username: str) -> int | None:
    found: int | None = await db.fetchval(_ACCOUNT, username)
    return found


async def usage(db: Db, quota_ids: Iterable[int]) -> Mapping[int, Holdings]:
    """Returns what counts for each of the quotas now."""
    rows = await db.fetch(_USED, list(quota_ids))
    return {row["id"]: Holdings(**{name: row[name] for name in RESOURCES}) for row in rows}


async def holdings_of(db: Db, machine_id: int) -> Holdings:
    """Returns what the machine holds; nothing if it was deleted."""
    row = await db.fetchrow(_MACHINE, machine_id)
    if row is None:
        return Holdings()
    return Holdings(machines=1, **{name: row[name] for name in RESOURCES if name != "machines"})


async def _with_usage(db: Db, rows: Iterable[Row]) -> tuple[Quota, ...]:
    found = list(rows)
    used = await usage(db, [row["id"] for row in found]) if found else {}
    return tuple(
        Quota(
            id=row["id"], account_id=row["account_id"], username=row["username"], pool_id=row["pool_id"],
            pool=row["pool"], limits=Limits(**{name: row[name] for name in RESOURCES}), used=used[row["id"]],
        )
        for row in found
    )  # fmt: skip


def _columns(limits: Limits) -> tuple[int | None, ...]:
    return tuple(getattr(limits, name) for name in RESOURCES)
