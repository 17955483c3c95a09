"""The hosts worth a closer look for a machine. The database narrows, so that placement judges few of many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
from attrs import evolve, frozen

from regiond.placement.model import ANY_HOST, HostOffer, Placement, PoolOffer, Wish
from regiond.placement.place import DEFAULT_ROOT_BYTES, Strategy, place

if TYPE_CHECKING:
    from regiond.db.pool import Db

NARROWED_TO = 20  # of more hosts than can be named, this many are judged; ten times as many when none of them fits

# `lacks` is the first thing that a host lacks, in the order in which placement looks; NULL when it fits as far as can
# be told here: tags of disks and several disks are left to placement, and so is the last digit of a ratio. Rows are a
# few numbers wide until the few are chosen. Of those that do not fit, the ones that were asked for come first.
_FIND = """
    with failed as (
        select host_id, count(*) as racks from rack_reach
         where rack_id = any($1::uuid[]) and not reaches group by host_id
    ), room as (
        select server_id, max(total_bytes - used_elsewhere_bytes - claimed_bytes) as bytes
          from storage_pool where missing_since is null group by server_id
    ), measured as (
        select h.id, h.state, h.server_id, s.architecture, coalesce(f.racks, 0) < cardinality($1) as reachable,
               case when $9::boolean then null
                    when cardinality($10::integer[]) > 0 and h.id <> all($10) then 'host'
                    when cardinality($11::text[]) > 0
                         and h.zone_id <> all(array(select id from zone where name = any($11)))
                      or h.zone_id = any(array(select id from zone where name = any($12::text[]))) then 'zone'
                    when cardinality($13::text[]) > 0
                         and h.pool_id <> all(array(select id from resource_pool where name = any($13)))
                      or h.pool_id = any(array(select id from resource_pool where name = any($14::text[]))) then 'pool'
                    when not h.tags @> $15::text[] or h.tags && $16::text[] then 'tags'
               end as excluded, s.cpu_speed_mhz, s.cores as whole_cores, s.memory_mib as whole_memory_mib,
               floor(s.cores * h.cpu_over_commit_ratio + 1e-6) as cores, s.cores_claimed + $3::bigint as cores_then,
               floor(s.memory_mib * h.memory_over_commit_ratio + 1e-6) as memory_mib,
               s.memory_mib_claimed + $4::bigint as memory_mib_then, r.bytes as room_bytes
          from vm_host h
          left join server s on s.id = h.server_id
          left join room r on r.server_id = h.server_id
          left join failed f on f.host_id = h.id
    ), judged as materialized (
        select id, reachable, excluded is not null as excluded,
               case when excluded is not null then excluded
                    when state = 'removing' then 'removing'
                    when server_id is null then 'unknown'
                    when not reachable then 'unreachable'
                    when architecture <> $2::text then 'architecture'
                    when cpu_speed_mhz < $17::integer then 'speed'
                    when cores_then > cores or $3 > whole_cores then 'cores'
                    when memory_mib_then > memory_mib or $4 > whole_memory_mib then 'memory'
                    when coalesce(room_bytes, -1) < $5::bigint then 'storage'
               end as lacks,
               floor(1e6 * least((cores - cores_then) / nullif(cores, 0),
                                 (memory_mib - memory_mib_then) / nullif(memory_mib, 0)) + 0.5) as headroom
          from measured
    ), few as (
        select * from judged order by lacks is not null, excluded, $6::integer * headroom desc nulls last, id
         limit (select case when count(*) <= $7::bigint then $7
                            when count(*) filter (where not excluded) <= $7
                            then greatest(count(*) filter (where not excluded), $8::bigint)
                            else $8 end
                  from judged)
    )
    select few.lacks, few.reachable, h.id, h.name, h.state, h.cpu_over_commit_ratio, h.memory_over_commit_ratio,
           h.default_storage_pool_id, s.architecture, s.cores, s.memory_mib, s.cores_claimed, s.memory_mib_claimed,
           s.cpu_speed_mhz, z.name as zone, p.name as pool, h.tags,
           (select jsonb_agg(jsonb_build_array(p.id, p.pool_key, p.name, p.total_bytes,
                             p.total_bytes - p.used_elsewhere_bytes - p.claimed_bytes) order by p.id)
              from storage_pool p where p.server_id = s.id and p.missing_since is null) as storage_pools,
           (select jsonb_object_agg(coalesce(lacks, 'nothing'), hosts)
              from (select lacks, count(*) as hosts from judged group by lacks) alike) as all_hosts
      from few join vm_host h on h.id = few.id left join server s on s.id = h.server_id
      join zone z on z.id = h.zone_id join resource_pool p on p.id = h.pool_id
"""

_LEFT_OUT: Mapping[str | None, str] = {
    None: "no better by the room that would be left",
    "host": "not asked for",
    "zone": "in a zone that was not asked for",
    "pool": "in a resource pool that was not asked for",
    "tags": "with other tags than were asked for",
    "removing": "being removed",
    "unknown": "capacity unknown until the first good discovery",
    "unreachable": "no connected rack reaches them",
    "architecture": "another architecture",
    "speed": "slower CPUs",
    "cores": "not enough cores left",
    "memory": "not enough memory left",
    "storage": "no storage pool with room for the largest disk",
}


@frozen(kw_only=True)
class Candidates:
    """`fitting` counts all hosts that may fit; `left_out` those not among the offers, by what is said of them."""

    offers: tuple[HostOffer, ...]
    fitting: int
    left_out: Mapping[str, int]


async def choose(
    db: Db, wish: Wish, racks: Sequence[UUID], *, strategy: Strategy, named: int, narrowed_to: int = NARROWED_TO
) -> Placement:
    """Where the machine goes now, of all hosts that one of `racks` reaches; nothing is claimed.

    Up to `named` hosts are all judged by name; of more, those that pass the wish's filter if they are not too many
    either. Else only the best few are, and the others are counted by reason.
    """
    limit = narrowed_to
    while True:
        found = await find(db, wish, racks, strategy=strategy, named=named, limit=limit)
        placement = evolve(place(wish, found.offers, strategy=strategy), left_out=found.left_out)
        if placement.chosen is not None or len(found.offers) >= found.fitting:
            return placement
        limit *= 10


async def find(db: Db, wish: Wish, racks: Sequence[UUID], *, strategy: Strategy, named: int, limit: int) -> Candidates:
    """All hosts that were asked for when they are `named` or fewer, else the best `limit`: one query."""
    largest_bytes = max((disk.size_bytes or DEFAULT_ROOT_BYTES for disk in wish.disks), default=0)
    sign = 1 if strategy == "spread" else -1
    wanted = wish.hosts
    rows = await db.fetch(
        _FIND, list(racks), wish.architecture, wish.cores, wish.memory_mib, largest_bytes, sign, named, limit,
        wanted == ANY_HOST, sorted(wanted.host_ids), wanted.zones, wanted.not_zones, wanted.pools, wanted.not_pools,
        wanted.tags, wanted.not_tags, wish.cpu_speed_mhz,
    )  # fmt: skip
    counted: Mapping[str, int] = rows[0]["all_hosts"] if rows else {}
    left_out = Counter({None if lacks == "nothing" else lacks: hosts for lacks, hosts in counted.items()})
    left_out.subtract(row["lacks"] for row in rows)
    return Candidates(
        offers=tuple(_offer(row) for row in rows),
        fitting=counted.get("nothing", 0),
        left_out={_LEFT_OUT[lacks]: hosts for lacks, hosts in left_out.items() if hosts},
    )


def _offer(row: asyncpg.Record) -> HostOffer:
    columns: dict[str, Any] = {name: value for name, value in row.items() if name not in ("lacks", "all_hosts")}
    pools = tuple(
        PoolOffer(id=id_, pool_key=key, name=name, total_bytes=total_bytes, room_bytes=max(0, room_bytes))
        for id_, key, name, total_bytes, room_bytes in columns["storage_pools"] or ()
    )
    default = columns["default_storage_pool_id"]
    columns["storage_pools"] = pools
    columns["default_storage_pool_id"] = default if any(pool.id == default for pool in pools) else None
    columns["tags"] = tuple(columns["tags"])
    columns["cores_claimed"] = columns["cores_claimed"] or 0
    columns["memory_mib_claimed"] = columns["memory_mib_claimed"] or 0
    return HostOffer(**columns)
