"""Recomputes the running totals of a server from its claims."""

from __future__ import annotations

from regiond.db.pool import Db

# Pinned cores have their own query: an aggregate may sort rows before it filters them, and not every key is a number.
_SERVER = """
    update server s
       set cores_claimed = t.cores, memory_mib_claimed = t.memory_mib, pinned_core_ids = t.pinned_core_ids
      from (select coalesce(sum(amount) filter (where resource = 'cores'), 0) as cores,
                   coalesce(sum(amount) filter (where resource = 'memory_mib'), 0) as memory_mib,
                   array(select distinct key::integer from claim
                          where server_id = $1 and resource = 'pinned_core' order by 1) as pinned_core_ids
              from claim where server_id = $1) t
     where s.id = $1 and (s.cores_claimed, s.memory_mib_claimed, s.pinned_core_ids)
                         is distinct from (t.cores, t.memory_mib, t.pinned_core_ids)
"""

_POOLS = """
    update storage_pool p set claimed_bytes = t.claimed
      from (select p.id, coalesce(sum(c.amount), 0) as claimed
              from storage_pool p left join claim c on c.storage_pool_id = p.id
             where p.server_id = $1 group by p.id) t
     where p.id = t.id and p.claimed_bytes is distinct from t.claimed
"""

# A claimed resource that the server does not have (any more) has a row with total 0.
_DISCRETE = """
    with sums as (
        select resource, key, sum(amount) as claimed from claim
         where server_id = $1 and resource in ('huge_pages', 'virtual_functions')
         group by resource, key
    ), unclaimed as (
        update discrete_resource r set claimed = 0
         where r.server_id = $1 and r.claimed <> 0
           and not exists (select from sums where (sums.resource, sums.key) = (r.resource, r.key))
    )
    insert into discrete_resource as r (server_id, resource, key, total, claimed)
    select $1, resource, key, 0, claimed from sums
    on conflict (server_id, resource, key) do update set claimed = excluded.claimed
     where r.claimed <> excluded.claimed
"""


async def recompute_totals(db: Db, server_id: int) -> None:
    """Sets the running totals to the sums of the claims. The caller holds the lock of the server. Idempotent."""
    await db.execute(_SERVER, server_id)
    await db.execute(_POOLS, server_id)
    await db.execute(_DISCRETE, server_id)
