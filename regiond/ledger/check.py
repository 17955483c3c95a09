"""Whether the running totals are the sums of their claims (invariant 2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    import asyncpg

    from regiond.db.pool import Db

_SERVERS = """
    select * from (
        select s.id as server_id, s.identity, s.cores_claimed, s.memory_mib_claimed, s.pinned_core_ids as pins_told,
               coalesce(sum(c.amount) filter (where c.resource = 'cores'), 0)::bigint as cores,
               coalesce(sum(c.amount) filter (where c.resource = 'memory_mib'), 0)::bigint as memory_mib,
               array(select distinct key::integer from claim
                      where server_id = s.id and resource = 'pinned_core' order by 1) as pins
          from server s left join claim c on c.server_id = s.id
         where $1::integer is null or s.id = $1
         group by s.id) t
     where (cores_claimed, memory_mib_claimed, pins_told) is distinct from (cores, memory_mib, pins)
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

_COUNTED = """
    with sums as (
        select server_id, resource, key, sum(amount)::bigint as claimed from claim
         where resource in ('huge_pages', 'virtual_functions')
         group by server_id, resource, key
    )
    select s.id as server_id, s.identity, resource, key, coalesce(r.claimed, 0) as told,
           coalesce(sums.claimed, 0) as claimed
      from counted_resource r full join sums using (server_id, resource, key) join server s on s.id = server_id
     where coalesce(r.claimed, 0) <> coalesce(sums.claimed, 0) and ($1::integer is null or s.id = $1)
     order by s.identity, resource, key
"""


@frozen(kw_only=True)
class WrongTotal:
    """A total of a server that its claims do not add up to; both sides in words."""

    server_id: int
    server: str
    subject: str
    told: str
    claimed: str

    @property
    def text(self) -> str:
        return f"{self.subject} of {self.server}: the total says {self.told}, claims add up to {self.claimed}"


async def wrong_totals(db: Db, server_id: int | None = None) -> tuple[WrongTotal, ...]:
    """Every total that is not the sum of its claims, or those of one server; empty when the ledger is right."""
    return (
        *[wrong for row in await db.fetch(_SERVERS, server_id) for wrong in _of_server(row)],
        *[
            _wrong(row, f"storage pool {row['name']}", f"{row['claimed_bytes']} bytes", f"{row['sum_bytes']}")
            for row in await db.fetch(_POOLS, server_id)
        ],
        *[
            _wrong(row, f"{row['resource']} {row['key']}", f"{row['told']}", f"{row['claimed']}")
            for row in await db.fetch(_COUNTED, server_id)
        ],
    )


async def check(db: Db) -> list[str]:
    """`wrong_totals` in words."""
    return [wrong.text for wrong in await wrong_totals(db)]


def _of_server(row: asyncpg.Record) -> Iterator[WrongTotal]:
    told, claimed = (row["cores_claimed"], row["memory_mib_claimed"]), (row["cores"], row["memory_mib"])
    if told != claimed:
        yield _wrong(row, "cores and memory", "{} cores and {} MiB".format(*told), "{} and {}".format(*claimed))
    if row["pins_told"] != row["pins"]:
        yield _wrong(row, "pinned cores", _cores(row["pins_told"]), _cores(row["pins"]))


def _wrong(row: asyncpg.Record, subject: str, told: str, claimed: str) -> WrongTotal:
    return WrongTotal(server_id=row["server_id"], server=row["identity"], subject=subject, told=told, claimed=claimed)


def _cores(core_ids: Iterable[int]) -> str:
    return f"cores {', '.join(map(str, core_ids))}" if core_ids else "no core"
