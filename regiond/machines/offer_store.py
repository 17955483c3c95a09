"""What placement sees of hosts, from their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import asyncpg

from regiond.ledger.offers import nodes_of_hosts
from regiond.networks.offers import of_hosts
from regiond.placement.model import HostOffer, InterfaceOffer, NodeOffer, PoolOffer

if TYPE_CHECKING:
    from regiond.db.pool import Db

_NAMED = """
    select true as reachable, h.id, h.name, h.state, h.cpu_over_commit_ratio, h.memory_over_commit_ratio,
           h.default_storage_pool_id, h.driver, h.default_macvlan_mode, h.reserved_cores, h.reserved_memory_mib,
           s.id as server_id, s.architecture, s.cores, s.memory_mib, s.huge_memory_mib, s.cores_claimed,
           s.memory_mib_claimed, s.cpu_speed_mhz, z.name as zone, z.id as zone_id, p.name as pool, p.id as pool_id,
           h.tags,
           (select jsonb_agg(jsonb_build_array(p.id, p.pool_key, p.name, p.total_bytes,
                             p.total_bytes - p.used_elsewhere_bytes - p.claimed_bytes) order by p.id)::text
              from storage_pool p where p.server_id = s.id and p.missing_since is null) as storage_pools
      from vm_host h left join server s on s.id = h.server_id
      join zone z on z.id = h.zone_id join resource_pool p on p.id = h.pool_id
     where h.id = any($1::integer[])
"""
# Columns that are fields of an offer.
_AS_THEY_ARE = (
    "id", "name", "state", "reachable", "server_id", "architecture", "cores", "memory_mib", "cpu_over_commit_ratio",
    "memory_over_commit_ratio", "cpu_speed_mhz", "zone", "zone_id", "pool", "pool_id", "driver",
    "default_macvlan_mode", "reserved_cores", "reserved_memory_mib",
)  # fmt: skip


async def named(db: Db, host_ids: Iterable[int], *, with_nodes: bool) -> Mapping[int, HostOffer]:
    """These hosts by id, as a request that names one sees it: whichever racks reach it. Those that went are not in it.
    As many queries for one host as for all."""
    rows = await db.fetch(_NAMED, list(host_ids))
    return {offer.id: offer for offer in await offers_of(db, rows, with_nodes=with_nodes)}


async def offers_of(db: Db, rows: Sequence[asyncpg.Record], *, with_nodes: bool) -> tuple[HostOffer, ...]:
    """With interfaces, and with NUMA nodes when they are asked for: what only the few are read for."""
    host_ids = [row["id"] for row in rows]
    nodes = await nodes_of_hosts(db, host_ids) if with_nodes else {}
    interfaces = await of_hosts(db, host_ids)
    return tuple(_offer(row, interfaces.get(row["id"], ()), nodes.get(row["id"], ())) for row in rows)


def _offer(row: asyncpg.Record, interfaces: tuple[InterfaceOffer, ...], nodes: tuple[NodeOffer, ...]) -> HostOffer:
    pools, default = _pools(row["storage_pools"]), row["default_storage_pool_id"]
    return HostOffer(
        **{name: row[name] for name in _AS_THEY_ARE},
        cores_claimed=row["cores_claimed"] or 0,
        memory_mib_claimed=row["memory_mib_claimed"] or 0,
        huge_memory_mib=row["huge_memory_mib"] or 0,
        storage_pools=pools,
        default_storage_pool_id=default if any(pool.id == default for pool in pools) else None,
        tags=tuple(row["tags"]),
        nodes=nodes,
        interfaces=interfaces,
    )


@lru_cache(maxsize=10_000)  # a claim changes those of one host
def _pools(text: str | None) -> tuple[PoolOffer, ...]:
    return tuple(
        PoolOffer(id=id_, pool_key=key, name=name, total_bytes=total_bytes, room_bytes=max(0, room_bytes))
        for id_, key, name, total_bytes, room_bytes in json.loads(text or "[]")
    )
