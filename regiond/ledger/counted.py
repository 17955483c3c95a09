"""Claims of single cores, huge pages and virtual functions. None of them is ever overcommitted.

Every function here is called by one that has the row lock of the server already, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import OutOfCapacity
from regiond.ledger.model import Counted, read_pages_key

if TYPE_CHECKING:
    from regiond.db.pool import Db, Row

# What the last select sees of the server is from before the update.
_PIN = """
    with there as (
        select array_agg(core::integer) as core_ids
          from server s, jsonb_array_elements(s.numa_nodes) node, jsonb_array_elements_text(node -> 'core_ids') core
         where s.id = $1
    ), pinned as (
        update server s set pinned_core_ids = array(select unnest(s.pinned_core_ids || $3::integer[]) order by 1)
          from there
         where s.id = $1 and not s.pinned_core_ids && $3 and $3 <@ there.core_ids
        returning s.id
    ), written as (
        insert into claim (server_id, machine_id, resource, key, amount)
        select pinned.id, $2, 'pinned_core', core::text, 1 from pinned, unnest($3) core
    )
    select exists (select from pinned) as pinned,
           array(select unnest($3) intersect select unnest(s.pinned_core_ids) order by 1) as taken,
           array(select unnest($3) except select unnest(there.core_ids) order by 1) as absent
      from server s, there where s.id = $1
"""
_COUNT = """
    with asked as (
        select * from unnest($3::text[], $4::text[], $5::bigint[]) asked (resource, key, amount)
    ), taken as (
        update counted_resource r set claimed = r.claimed + asked.amount
          from asked
         where r.server_id = $1 and r.resource = asked.resource and r.key = asked.key
           and r.claimed + asked.amount <= r.total
        returning r.resource, r.key, asked.amount
    ), written as (
        insert into claim (server_id, machine_id, resource, key, amount)
        select $1, $2, taken.* from taken
    )
    select asked.*, coalesce(r.total, 0) as total, coalesce(r.claimed, 0) as claimed
      from asked left join counted_resource r on r.server_id = $1 and (r.resource, r.key) = (asked.resource, asked.key)
     where (asked.resource, asked.key) not in (select resource, key from taken)
"""

_SET_TOTALS = """
    insert into counted_resource (server_id, resource, key, total)
    select $1, there.* from unnest($2::text[], $3::text[], $4::bigint[]) there
    on conflict (server_id, resource, key) do update set total = excluded.total
"""
_FORGET = "delete from counted_resource where server_id = $1 and total = 0 and claimed = 0"


async def set_totals(db: Db, server_id: int, totals: Mapping[tuple[str, str], int]) -> None:
    """How many there are, by resource and key; 0 says: none any more. Facts, so less than is claimed is no error."""
    if totals:
        resources, keys = [resource for resource, _ in totals], [key for _, key in totals]
        await db.execute(_SET_TOTALS, server_id, resources, keys, list(totals.values()))
        await db.execute(_FORGET, server_id)


async def claim_counted(db: Db, server_id: int, machine_id: int, counted: Counted) -> None:
    """Raises OutOfCapacity that says what went, or never was there; the caller's transaction must then roll back."""
    if counted.pinned_core_ids:
        await _pin(db, server_id, machine_id, counted.pinned_core_ids)
    rows = [(resource, key, amount) for resource, _, key, amount in counted.rows() if resource != "pinned_core"]
    if rows:
        resources, keys, amounts = (list(column) for column in zip(*rows, strict=True))
        lacking = await db.fetch(_COUNT, server_id, machine_id, resources, keys, amounts)
        if lacking:
            raise OutOfCapacity(f"The host has no room any more for {'; '.join(map(_lack, lacking))}.")


async def _pin(db: Db, server_id: int, machine_id: int, core_ids: Sequence[int]) -> None:
    answer = await db.fetchrow(_PIN, server_id, machine_id, list(core_ids))
    if answer is None or answer["pinned"]:
        return
    if answer["taken"]:
        raise OutOfCapacity(f"Another guest is pinned to {_cores(answer['taken'])} of the host by now.")
    raise OutOfCapacity(f"The host has no {_cores(answer['absent'])}.")


def _cores(core_ids: Sequence[int]) -> str:
    return ("core " if len(core_ids) == 1 else "cores ") + ", ".join(map(str, core_ids))


def _lack(row: Row) -> str:
    free: Any = max(0, row["total"] - row["claimed"])
    if row["resource"] == "huge_pages":
        node_id, size_kib = read_pages_key(row["key"])
        what = f"huge pages of {size_kib} KiB on NUMA node {node_id}"
    else:
        what = f"virtual functions of {row['key']}"
    return f"{row['amount']} {what} ({free} of {row['total']} are free)"
