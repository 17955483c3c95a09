"""Reads the capacity of hosts: what the hardware has, what is claimed by whom, and what is free."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import asdict, frozen

from common.hosts.capacity import Capacity, ResourceCapacity
from common.hosts.host_settings import LIMITS, HostLimits
from regiond.db.pool import Db, Row
from regiond.ledger.claimable import CLAIMED_OF_STORAGE
from regiond.ledger.model import SHARED_POOL_TYPES, HostCapacity, read_pages_key
from regiond.placement.candidate import resource_capacity, sum_of, sum_of_storage

MAX_ON_EVENT_LOOP = 200  # hosts; each takes 0.1 ms

# What the machines of each host claim on its server. The claims of a machine that its cluster has just moved are where
# the guest is; its volumes can be in a pool of the server that it left.
_COMPUTE_CLAIMED = """
    select h.id as host_id, coalesce(sum(c.amount) filter (where c.resource = 'cores'), 0)::bigint as cores,
           coalesce(sum(c.amount) filter (where c.resource = 'memory_mib'), 0)::bigint as memory_mib
      from vm_host h
      left join machine m on m.host_id = h.id
      left join claim c on c.machine_id = m.id and c.server_id = h.server_id
     where h.id = any($1::integer[])
     group by h.id
"""
_CAPACITIES = f"""
    with claimed as (
        select h.id as host_id, c.resource, coalesce(c.storage_pool_id::text, c.key) as key,
               sum(c.amount)::bigint as amount
          from vm_host h
          join machine m on m.host_id = h.id
          join claim c on c.machine_id = m.id
          left join storage_pool p on p.id = c.storage_pool_id
         where coalesce(p.server_id, c.server_id) = h.server_id
           and ($1::integer[] is null or h.id = any($1))
         group by h.id, c.resource, c.storage_pool_id, c.key
    ), held as (
        select host_id, jsonb_agg(jsonb_build_array(resource, key, amount)) as amounts from claimed group by host_id
    )
    select h.id as host_id, h.server_id, h.state, h.state = 'ready' and h.maintenance_since is null as is_open,
           h.state <> 'removing' and h.maintenance_since is null as takes_claims,
           c.identity as cluster, z.name as zone, p.name as pool,
           {", ".join(f"h.{name}" for name in LIMITS)},
           s.cores, s.memory_mib, s.huge_memory_mib, s.cores_claimed, s.memory_mib_claimed, s.pinned_core_ids,
           array(select core::integer from jsonb_array_elements(s.numa_nodes) node,
                                           jsonb_array_elements_text(node -> 'core_ids') core) as core_ids,
           coalesce(held.amounts, '[]') as claimed,
           (select coalesce(jsonb_agg(jsonb_build_array(p.id, p.name, p.type, p.total_bytes,
                                                        {CLAIMED_OF_STORAGE} + p.used_elsewhere_bytes,
                                                        p.status = 'available', p.storage_id)), '[]')
              from storage_pool p where p.server_id = s.id and p.missing_since is null) as storage_pools,
           (select coalesce(jsonb_agg(jsonb_build_array(r.resource, r.key, r.total, r.claimed)), '[]')
              from discrete_resource r where r.server_id = s.id) as discrete
      from vm_host h
      join zone z on z.id = h.zone_id
      join resource_pool p on p.id = h.pool_id
      left join cluster c on c.id = h.cluster_id
      left join server s on s.id = h.server_id
      left join held on held.host_id = h.id
     where ($1::integer[] is null or h.id = any($1)) and ($2::integer[] is null or h.pool_id = any($2))
     order by h.id
"""  # noqa: S608  a constant


@frozen(kw_only=True)
class ComputeClaimed:
    cores: int = 0
    memory_mib: int = 0


async def capacities_of_hosts(
    db: Db, host_ids: Iterable[int] | None = None, *, pool_ids: Iterable[int] | None = None
) -> tuple[HostCapacity, ...]:
    """Returns these hosts, or all, by id, with one query; of these, those in the resource pools `pool_ids`, or all.

    A host without a successful discovery run has no capacity. Many hosts are computed in a thread.
    """
    wanted = None if host_ids is None else list(host_ids)
    pools = None if pool_ids is None else sorted(pool_ids)
    rows = await db.fetch(_CAPACITIES, wanted, pools)
    return _hosts(rows) if len(rows) <= MAX_ON_EVENT_LOOP else await asyncio.to_thread(_hosts, rows)


async def capacity_with_limits(db: Db, host_id: int, limits: HostLimits) -> Capacity | None:
    """Returns the capacity that the host would have with other limits; None if it has no capacity."""
    for row in await db.fetch(_CAPACITIES, [host_id], None):
        if row["server_id"] is not None:
            return _capacity({**row, **asdict(limits)}, _claimed(row))
    return None


async def compute_claimed_by_hosts(db: Db, host_ids: Iterable[int]) -> Mapping[int, ComputeClaimed]:
    """Returns the cores and general memory that the machines of each host claim on its server; omits removed hosts."""
    rows = await db.fetch(_COMPUTE_CLAIMED, list(host_ids))
    return {row["host_id"]: ComputeClaimed(cores=row["cores"], memory_mib=row["memory_mib"]) for row in rows}


def _hosts(rows: Iterable[Row]) -> tuple[HostCapacity, ...]:
    return tuple(_host(row) for row in rows)


def _host(row: Row) -> HostCapacity:
    pools = row["storage_pools"]
    claimed = _claimed(row)
    return HostCapacity(
        host_id=row["host_id"],
        server_id=row["server_id"],
        state=row["state"],
        zone=row["zone"],
        pool=row["pool"],
        cluster=row["cluster"],
        shared_pools=frozenset(name for _, name, type_, *_ in pools if type_ in SHARED_POOL_TYPES),
        storage_ids=_storage_ids(pools),
        capacity=None if row["server_id"] is None else _capacity(dict(row), claimed),
        is_open=row["is_open"],
        takes_claims=row["takes_claims"],
        claimed=claimed,
    )


def _claimed(row: Row) -> dict[tuple[str, str | None], int]:
    return {(what, key): amount for what, key, amount in row["claimed"]}


def _capacity(row: Mapping[str, Any], claimed: Mapping[tuple[str, str | None], int]) -> Capacity:
    takes_machines, storage_ids = row["state"] != "removing", _storage_ids(row["storage_pools"])
    pools = {  # of one that is not available, only what is claimed already is claimable
        name: resource_capacity(
            total,
            reserved=0 if is_available else max(0, total - used),
            claimed=claimed.get(("storage_bytes", str(pool_id)), 0),
            claimed_by_all=used,
            takes_machines=takes_machines,
        )
        for pool_id, name, _, total, used, is_available, _ in sorted(row["storage_pools"])
    }
    return Capacity(
        cores=resource_capacity(
            row["cores"],
            reserved=row["reserved_cores"],
            ratio=row["cpu_over_commit_ratio"],
            claimed=claimed.get(("cores", None), 0),
            claimed_by_all=row["cores_claimed"],
            takes_machines=takes_machines,
        ),
        memory_mib=resource_capacity(
            row["memory_mib"],
            reserved=row["huge_memory_mib"] + row["reserved_memory_mib"],
            ratio=row["memory_over_commit_ratio"],
            claimed=claimed.get(("memory_mib", None), 0),
            claimed_by_all=row["memory_mib_claimed"],
            takes_machines=takes_machines,
        ),
        storage_bytes=sum_of_storage((storage_ids.get(name) or (name,), one) for name, one in pools.items()),
        storage_pools=pools,
        pinned_cores=_pinned_cores(row, claimed, takes_machines=takes_machines),
        huge_pages=_huge_pages(row, claimed, takes_machines=takes_machines),
        virtual_functions=_virtual_functions(row, claimed, takes_machines=takes_machines),
    )


def _storage_ids(pools: Iterable[Any]) -> dict[str, str]:
    return {name: storage_id for _, name, *_, storage_id in pools if storage_id}


def _pinned_cores(
    row: Mapping[str, Any], claimed: Mapping[tuple[str, str | None], int], *, takes_machines: bool
) -> ResourceCapacity | None:
    """Counts cores, not pins: guests of others can share a core. Ignores pins on cores that no longer exist."""
    if not row["core_ids"]:
        return None
    present = {*row["core_ids"]}
    here = {int(key) for what, key in claimed if what == "pinned_core" and key is not None}
    return resource_capacity(
        len(present),
        claimed=len(present & here),
        claimed_by_all=len(present & {*row["pinned_core_ids"]}),
        takes_machines=takes_machines,
    )


def _huge_pages(
    row: Mapping[str, Any], claimed: Mapping[tuple[str, str | None], int], *, takes_machines: bool
) -> dict[str, ResourceCapacity]:
    """By page size in KiB, summed over the NUMA nodes."""
    by_size: defaultdict[int, list[ResourceCapacity]] = defaultdict(list)
    for what, key, total, used in row["discrete"]:
        if what == "huge_pages":
            own = claimed.get((what, key), 0)
            one = resource_capacity(total, claimed=own, claimed_by_all=used, takes_machines=takes_machines)
            by_size[read_pages_key(key)[1]].append(one)
    return {str(size_kib): sum_of(by_size[size_kib]) for size_kib in sorted(by_size)}


def _virtual_functions(
    row: Mapping[str, Any], claimed: Mapping[tuple[str, str | None], int], *, takes_machines: bool
) -> dict[str, ResourceCapacity]:
    """By the name of the physical port."""
    return {
        key: resource_capacity(
            total, claimed=claimed.get((what, key), 0), claimed_by_all=used, takes_machines=takes_machines
        )
        for what, key, total, used in sorted(row["discrete"])
        if what == "virtual_functions"
    }
