"""Finds running totals that differ from the sum of their claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.words.phrases import number_of
from regiond.db.pool import Db, Row
from regiond.ledger.model import TotalMismatch

_SERVERS = """
    select * from (
        select s.id as server_id, s.identity, s.cores_claimed, s.memory_mib_claimed, s.pinned_core_ids as pins_total,
               coalesce(sum(c.amount) filter (where c.resource = 'cores'), 0)::bigint as cores,
               coalesce(sum(c.amount) filter (where c.resource = 'memory_mib'), 0)::bigint as memory_mib,
               array(select distinct key::integer from claim
                      where server_id = s.id and resource = 'pinned_core' order by 1) as pins
          from server s left join claim c on c.server_id = s.id
         where $1::integer is null or s.id = $1
         group by s.id) t
     where (cores_claimed, memory_mib_claimed, pins_total) is distinct from (cores, memory_mib, pins)
     order by identity
"""

_POOLS = """
    select s.id as server_id, s.identity, p.name, p.claimed_bytes, coalesce(sum(c.amount), 0)::bigint as sum_bytes
      from storage_pool p join server s on s.id = p.server_id left join claim c on c.storage_pool_id = p.id
     where $1::integer is null or s.id = $1
     group by s.id, p.id
    having p.claimed_bytes <> coalesce(sum(c.amount), 0)::bigint
     order by s.identity, p.id
"""

_DISCRETE = """
    with sums as (
        select server_id, resource, key, sum(amount)::bigint as claimed from claim
         where resource in ('huge_pages', 'virtual_functions')
         group by server_id, resource, key
    )
    select s.id as server_id, s.identity, resource, key, coalesce(r.claimed, 0) as total,
           coalesce(sums.claimed, 0) as claimed
      from discrete_resource r full join sums using (server_id, resource, key) join server s on s.id = server_id
     where coalesce(r.claimed, 0) <> coalesce(sums.claimed, 0) and ($1::integer is null or s.id = $1)
     order by s.identity, resource, key
"""


async def total_mismatches(db: Db, server_id: int | None = None) -> tuple[TotalMismatch, ...]:
    """Returns every mismatch, or those of one server; empty if the ledger is consistent."""
    return (
        *[mismatch for row in await db.fetch(_SERVERS, server_id) for mismatch in _of_server(row)],
        *[
            _mismatch(row, f"storage pool {row['name']}", f"{row['claimed_bytes']} bytes", f"{row['sum_bytes']}")
            for row in await db.fetch(_POOLS, server_id)
        ],
        *[
            _mismatch(row, f"{row['resource']} {row['key']}", f"{row['total']}", f"{row['claimed']}")
            for row in await db.fetch(_DISCRETE, server_id)
        ],
    )


async def check(db: Db) -> list[str]:
    """Returns `total_mismatches` as text."""
    return [mismatch.text for mismatch in await total_mismatches(db)]


def _of_server(row: Row) -> Iterator[TotalMismatch]:
    total, claimed = (row["cores_claimed"], row["memory_mib_claimed"]), (row["cores"], row["memory_mib"])
    if total != claimed:
        cores = number_of(total[0], "core")
        yield _mismatch(row, "cores and memory", f"{cores} and {total[1]} MiB", "{} and {}".format(*claimed))
    if row["pins_total"] != row["pins"]:
        yield _mismatch(row, "pinned cores", _cores(row["pins_total"]), _cores(row["pins"]))


def _mismatch(row: Row, subject: str, total: str, claimed: str) -> TotalMismatch:
    return TotalMismatch(
        server_id=row["server_id"], server=row["identity"], subject=subject, total=total, claimed=claimed
    )


def _cores(core_ids: Iterable[int]) -> str:
    return f"cores {', '.join(map(str, core_ids))}" if core_ids else "no core"
