"""Claims pinned cores, huge pages and virtual functions, which are never overcommitted.

Callers hold the row lock of the server, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.errors import OutOfCapacity
from regiond.db.pool import Db, Row
from regiond.ledger.model import DiscreteResources, read_pages_key

# The last select sees the server as it was before the update.
_PIN = """
    with present as (
        select array_agg(core::integer) as core_ids
          from server s, jsonb_array_elements(s.numa_nodes) node, jsonb_array_elements_text(node -> 'core_ids') core
         where s.id = $1
    ), pinned as (
        update server s set pinned_core_ids = array(select unnest(s.pinned_core_ids || $3::integer[]) order by 1)
          from present
         where s.id = $1 and not s.pinned_core_ids && $3 and $3 <@ present.core_ids
        returning s.id
    ), written as (
        insert into claim (server_id, machine_id, resource, key, amount)
        select pinned.id, $2, 'pinned_core', core::text, 1 from pinned, unnest($3) core
    )
    select exists (select from pinned) as pinned,
           array(select unnest($3) intersect select unnest(s.pinned_core_ids) order by 1) as taken,
           array(select unnest($3) except select unnest(present.core_ids) order by 1) as absent
      from server s, present where s.id = $1
"""
_CLAIM = """
    with demanded as (
        select * from unnest($3::text[], $4::text[], $5::bigint[]) demanded (resource, key, amount)
    ), taken as (
        update discrete_resource r set claimed = r.claimed + demanded.amount
          from demanded
         where r.server_id = $1 and r.resource = demanded.resource and r.key = demanded.key
           and r.claimed + demanded.amount <= r.total
        returning r.resource, r.key, demanded.amount
    ), written as (
        insert into claim (server_id, machine_id, resource, key, amount)
        select $1, $2, taken.* from taken
    )
    select demanded.*, coalesce(r.total, 0) as total, coalesce(r.claimed, 0) as claimed
      from demanded
      left join discrete_resource r
        on r.server_id = $1 and (r.resource, r.key) = (demanded.resource, demanded.key)
     where (demanded.resource, demanded.key) not in (select resource, key from taken)
"""

_SET_TOTALS = """
    insert into discrete_resource (server_id, resource, key, total)
    select $1, present.* from unnest($2::text[], $3::text[], $4::bigint[]) present
    on conflict (server_id, resource, key) do update set total = excluded.total
"""
_DROP_UNUSED = "delete from discrete_resource where server_id = $1 and total = 0 and claimed = 0"


async def set_discrete_totals(db: Db, server_id: int, totals: Mapping[tuple[str, str], int]) -> None:
    """Records how many pieces the server has, by (resource, key); 0: none any more. May be less than is claimed."""
    if totals:
        resources, keys = [resource for resource, _ in totals], [key for _, key in totals]
        await db.execute(_SET_TOTALS, server_id, resources, keys, list(totals.values()))
        await db.execute(_DROP_UNUSED, server_id)


async def claim_discrete(db: Db, server_id: int, machine_id: int, discrete: DiscreteResources) -> None:
    """Raises OutOfCapacity naming what is not available; the caller's transaction must then roll back."""
    if discrete.pinned_core_ids:
        await _pin(db, server_id, machine_id, discrete.pinned_core_ids)
    rows = [(resource, key, amount) for resource, _, key, amount in discrete.rows() if resource != "pinned_core"]
    if rows:
        resources, keys, amounts = (list(column) for column in zip(*rows, strict=True))
        short = await db.fetch(_CLAIM, server_id, machine_id, resources, keys, amounts)
        if short:
            raise OutOfCapacity(f"The host lacks {'; '.join(map(_shortage, short))}.")


async def _pin(db: Db, server_id: int, machine_id: int, core_ids: Sequence[int]) -> None:
    answer = await db.fetchrow(_PIN, server_id, machine_id, list(core_ids))
    if answer is None or answer["pinned"]:
        return
    if answer["taken"]:
        raise OutOfCapacity(f"Another guest is already pinned to {_cores(answer['taken'])} of the host.")
    raise OutOfCapacity(f"The host has no {_cores(answer['absent'])}.")


def _cores(core_ids: Sequence[int]) -> str:
    return ("core " if len(core_ids) == 1 else "cores ") + ", ".join(map(str, core_ids))


def _shortage(row: Row) -> str:
    free: Any = max(0, row["total"] - row["claimed"])
    if row["resource"] == "huge_pages":
        node_id, size_kib = read_pages_key(row["key"])
        what = f"huge pages of {size_kib} KiB on NUMA node {node_id}"
    else:
        what = f"virtual functions of {row['key']}"
    return f"{row['amount']} {what} ({free} of {row['total']} are free)"
