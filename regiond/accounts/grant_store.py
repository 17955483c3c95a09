"""SQL of the roles that accounts have in resource pools."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.accounts.model import Grant
from regiond.db.pool import Db
from regiond.requests.caller import PoolRole

_OF_ACCOUNT = "select pool_id, role from pool_grant where account_id = $1"
# The lock delays a revocation until what relies on the grant is committed.
_HELD = """
    select g.account_id, g.pool_id
      from unnest($1::integer[], $2::integer[]) needed (account_id, pool_id)
      join pool_grant g on g.account_id = needed.account_id and g.pool_id = needed.pool_id
     where g.role = 'operator'
     order by g.account_id, g.pool_id
       for key share of g
"""
_LIST = """
    select a.username, p.id as pool_id, p.name as pool, g.role, g.granted_at, g.granted_by
      from pool_grant g join account a on a.id = g.account_id join resource_pool p on p.id = g.pool_id
     where ($1::integer is null or g.pool_id = $1) and ($2::integer is null or g.account_id = $2)
     order by p.name, a.username
"""
_GRANT = """
    insert into pool_grant (account_id, pool_id, role, granted_by) values ($1, $2, $3, $4)
    on conflict (account_id, pool_id) do update
       set role = excluded.role, granted_by = excluded.granted_by, granted_at = now()
     where pool_grant.role <> excluded.role
"""
_REVOKE = "delete from pool_grant where account_id = $1 and pool_id = $2"


async def of_account(db: Db, account_id: int) -> dict[int, PoolRole]:
    """Returns the roles by the id of the resource pool."""
    return {row["pool_id"]: PoolRole(row["role"]) for row in await db.fetch(_OF_ACCOUNT, account_id)}


async def held(db: Db, needed: Iterable[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """Returns the pairs of account and pool that are grants of the role operator; none can be revoked meanwhile."""
    pairs = sorted(set(needed))
    rows = await db.fetch(_HELD, [account_id for account_id, _ in pairs], [pool_id for _, pool_id in pairs])
    return frozenset((row["account_id"], row["pool_id"]) for row in rows)


async def list_grants(db: Db, *, pool_id: int | None, account_id: int | None) -> tuple[Grant, ...]:
    """Returns them by pool and user."""
    rows = await db.fetch(_LIST, pool_id, account_id)
    return tuple(Grant(**{**row, "role": PoolRole(row["role"])}) for row in rows)


async def grant(db: Db, account_id: int, pool_id: int, role: PoolRole, granted_by: str | None) -> bool:
    """Returns whether this changed something. Raises asyncpg.ForeignKeyViolationError if the pool was deleted."""
    return await db.execute(_GRANT, account_id, pool_id, role.value, granted_by) == "INSERT 0 1"


async def revoke(db: Db, account_id: int, pool_id: int) -> bool:
    """Returns whether there was a grant."""
    return await db.execute(_REVOKE, account_id, pool_id) == "DELETE 1"
