"""Reads hosts as candidates for placement, and the holders of what they have too little of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import asyncpg
from attrs import evolve

from common.hosts.host_settings import SETTINGS
from common.values import Autostart
from regiond.db.pool import Db, of_row
from regiond.hosts.maintenance.model import Maintenance
from regiond.ledger.capacities import compute_claimed_by_hosts
from regiond.ledger.claimable import CLAIMED_OF_STORAGE
from regiond.ledger.numa_availability import numa_nodes_of_hosts
from regiond.networks.interface_availability import available_interfaces
from regiond.placement.candidate import Candidate, CandidateInterface, CandidateNode, CandidateStoragePool
from regiond.placement.model import Placement

_SETTINGS = ", ".join(f"h.{name}" for name in SETTINGS if name != "autostart")
# The rows of which `candidates_of` makes candidates: columns, and the tables beside `vm_host h` that have them.
CANDIDATE_COLUMNS = f"""
           h.id, h.name, h.state, h.driver, h.tags, h.maintenance_since, h.maintenance_by, h.maintenance_reason,
           {_SETTINGS}, coalesce(h.autostart, (select autostart from installation)) as autostart,
           h.default_storage_pool_id, s.id as server_id, coalesce(s.product, '') as product, s.architecture, s.cores,
           s.memory_mib, s.huge_memory_mib, s.cores_claimed, s.memory_mib_claimed, s.cpu_speed_mhz,
           z.name as zone, z.id as zone_id, p.name as pool, p.id as pool_id,
           (select jsonb_agg(jsonb_build_array(p.id, p.pool_key, p.name, p.total_bytes,
                             p.total_bytes - p.used_elsewhere_bytes - {CLAIMED_OF_STORAGE}, p.status, p.storage_id)
                             order by p.id)::text
              from storage_pool p where p.server_id = s.id and p.missing_since is null) as storage_pools
"""  # noqa: S608  a constant
CANDIDATE_TABLES = """
      left join server s on s.id = h.server_id
      join zone z on z.id = h.zone_id join resource_pool p on p.id = h.pool_id
"""
_NAMED = f"""
    select true as reachable, false as lost, {CANDIDATE_COLUMNS}
      from vm_host h {CANDIDATE_TABLES}
     where h.id = any($1::integer[])
"""  # noqa: S608  a constant


async def read_candidates(db: Db, host_ids: Iterable[int], *, with_nodes: bool) -> Mapping[int, Candidate]:
    """Returns these hosts by id, as reachable; deleted hosts are missing. The number of queries is constant."""
    rows = await db.fetch(_NAMED, list(host_ids))
    return {candidate.id: candidate for candidate in await candidates_of(db, rows, with_nodes=with_nodes)}


async def candidates_of(db: Db, rows: Sequence[asyncpg.Record], *, with_nodes: bool) -> tuple[Candidate, ...]:
    """Returns the candidates of these rows with their interfaces and, if `with_nodes`, their NUMA nodes."""
    host_ids = [row["id"] for row in rows]
    nodes = await numa_nodes_of_hosts(db, host_ids) if with_nodes else {}
    interfaces = await available_interfaces(db, host_ids)
    return tuple(_candidate(row, interfaces.get(row["id"], ()), nodes.get(row["id"], ())) for row in rows)


def _candidate(
    row: asyncpg.Record, interfaces: tuple[CandidateInterface, ...], nodes: tuple[CandidateNode, ...]
) -> Candidate:
    pools, default = _storage_pools(row["storage_pools"]), row["default_storage_pool_id"]
    return of_row(
        Candidate,
        row,
        autostart=Autostart(row["autostart"]),
        cores_claimed=row["cores_claimed"] or 0,
        memory_mib_claimed=row["memory_mib_claimed"] or 0,
        cores_claimed_here=None,
        memory_mib_claimed_here=None,
        huge_memory_mib=row["huge_memory_mib"] or 0,
        storage_pools=pools,
        default_storage_pool_id=default if any(pool.id == default for pool in pools) else None,
        tags=tuple(row["tags"]),
        maintenance=None if row["maintenance_since"] is None else _maintenance(row),
        nodes=nodes,
        interfaces=interfaces,
    )


def _maintenance(row: asyncpg.Record) -> str:
    by, reason = row["maintenance_by"], row["maintenance_reason"]
    return Maintenance(since=row["maintenance_since"], by=by or "", reason=reason or "").description


@lru_cache(maxsize=10_000)  # a claim changes the pools of one host only
def _storage_pools(text: str | None) -> tuple[CandidateStoragePool, ...]:
    return tuple(
        CandidateStoragePool(
            id=id_,
            pool_key=key,
            name=name,
            total_bytes=total_bytes,
            free_bytes=max(0, free_bytes),
            status=status,
            storage_id=storage_id,
        )
        for id_, key, name, total_bytes, free_bytes, status, storage_id in json.loads(text or "[]")
    )


async def with_claims_here(db: Db, hosts: Sequence[Candidate], placements: Iterable[Placement]) -> Sequence[Candidate]:
    """Returns the hosts with the claims of their own machines where a placement rejects one for cores or memory.

    Returns `hosts` itself if there is no such host: a compose that fits needs no more query. The caller places again.
    """
    short = {one.host_id for placement in placements for one in placement.rejected if one.lacks_compute}
    if not short:
        return hosts
    claimed = await compute_claimed_by_hosts(db, short)
    return tuple(
        evolve(
            host,
            cores_claimed_here=claimed[host.id].cores,
            memory_mib_claimed_here=claimed[host.id].memory_mib,
        )
        if host.id in claimed
        else host
        for host in hosts
    )
