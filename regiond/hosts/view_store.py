"""Hosts and guests as people see them: totals, what is used, storage pools. One host costs as many queries as all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import asyncpg

from common.discovery import Problem
from common.errors import NotFound
from common.hardware import Gpu, NetworkCard
from common.values import DriverType, HostNetwork, NumaNode, Profile
from common.wire import from_plain
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.model import Amounts, GuestView, HostStanding, HostState, HostView, StoragePoolView
from regiond.hosts.numa import Holding
from regiond.ledger.model import counted_of

if TYPE_CHECKING:
    from regiond.db.pool import Db

_HOSTS = """
    select h.*, z.name as zone_name, z.description as zone_description, p.name as pool_name,
           p.description as pool_description, s.architecture, s.hypervisor_version, s.emulated, s.cpu_speed_mhz,
           s.cores, s.memory_mib, s.huge_memory_mib, s.cores_claimed, s.memory_mib_claimed, s.numa_nodes,
           s.network_cards, s.gpus,
           (select sum(r.claimed * split_part(r.key, '/', 2)::bigint) / 1024 from counted_resource r
             where r.server_id = s.id and r.resource = 'huge_pages')::bigint as huge_memory_mib_claimed,
           v.refreshed_at, k.fingerprint as certificate_fingerprint, k.expires_at as certificate_expires_at
      from vm_host h
      join zone z on z.id = h.zone_id
      join resource_pool p on p.id = h.pool_id
      left join server s on s.id = h.server_id
      left join vm_host_schedule v on v.host_id = h.id
      left join key_pair k on k.id = h.key_pair_id
"""
_ALL_HOSTS = _HOSTS + " order by h.id"
_ONE_HOST = _HOSTS + " where h.id = $1"

_STANDINGS = """
    select h.id, h.state, h.address, h.pinned_fingerprint, k.fingerprint as certificate_fingerprint
      from vm_host h left join key_pair k on k.id = h.key_pair_id
     order by h.id
"""
_IDS = "select id, name from vm_host where name = any($1::text[]) or id::text = any($1)"

_STORAGE_POOLS = """
    select h.id as host_id, p.*, p.id = h.default_storage_pool_id as is_default
      from vm_host h join storage_pool p on p.server_id = h.server_id
     where p.missing_since is null
"""
_ALL_STORAGE_POOLS = _STORAGE_POOLS + " order by h.id, p.id"
_STORAGE_POOLS_OF_ONE = _STORAGE_POOLS + " and h.id = $1 order by p.id"

# What the guests of the host's own project hold: MAAS's "used". Memory is all of theirs, huge pages or not.
_USED = """
    select h.id as host_id, c.resource, c.storage_pool_id, sum(c.amount)::bigint as amount
      from vm_host h
      join lateral (
           select machine_id, guest_id, resource, storage_pool_id, amount from claim
            where server_id = h.server_id and key is null
            union all
           select distinct b.machine_id, b.guest_id, 'memory_mib', null::integer, coalesce(m.memory_mib, g.memory_mib)
             from claim b left join machine m on m.id = b.machine_id left join guest g on g.id = b.guest_id
            where b.server_id = h.server_id and b.resource = 'huge_pages') c on true
      left join machine m on m.id = c.machine_id
      left join guest g on g.id = c.guest_id
     where (m.host_id = h.id or g.project = h.project)
"""
_ALL_USED = _USED + " group by h.id, c.resource, c.storage_pool_id"
_USED_OF_ONE = _USED + " and h.id = $1 group by h.id, c.resource, c.storage_pool_id"

_GUESTS = """
    select g.id, g.name, g.project, g.machine_id, g.power_state, g.cores, g.memory_mib, g.pinned_core_ids,
           g.huge_pages_backed,
           coalesce(m.host_id, h.id) as host_id
      from guest g
      left join machine m on m.id = g.machine_id
      left join lateral (select id from vm_host where server_id = g.server_id
                          order by project <> g.project, id limit 1) h on true
     where $1::integer is null or g.id = $1
     order by g.id
"""

_HOLDINGS = """
    select c.machine_id, coalesce(c.guest_id, g.id) as guest_id, c.resource, c.key, c.amount
      from vm_host h join claim c on c.server_id = h.server_id left join guest g on g.machine_id = c.machine_id
     where h.id = $1 and c.resource not in ('cores', 'storage_bytes')
     order by c.id
"""


async def list_hosts(db: Db) -> tuple[HostView, ...]:
    """All hosts by id; three queries however many there are."""
    pools, used = defaultdict(list), defaultdict(list)
    for row in await db.fetch(_ALL_USED):
        used[row["host_id"]].append(row)
    for row in await db.fetch(_ALL_STORAGE_POOLS):
        pools[row["host_id"]].append(row)
    return tuple(_host(row, pools[row["id"]], used[row["id"]]) for row in await db.fetch(_ALL_HOSTS))


async def read(db: Db, host_id: int) -> HostView:
    used, pools = await db.fetch(_USED_OF_ONE, host_id), await db.fetch(_STORAGE_POOLS_OF_ONE, host_id)
    row = await db.fetchrow(_ONE_HOST, host_id)
    if row is None:
        raise NotFound("Not Found", host=host_id)
    return _host(row, pools, used)


async def standings(db: Db) -> tuple[HostStanding, ...]:
    """Of all hosts, by id."""
    rows = await db.fetch(_STANDINGS)
    return tuple(HostStanding(**{**row, "state": HostState(row["state"])}) for row in rows)


async def ids_of(db: Db, asked: Iterable[str]) -> Mapping[str, frozenset[int]]:
    """The hosts that each of `asked` means: the one with that id, else all of that name. Unknown ones mean none."""
    wanted = list(asked)
    rows = await db.fetch(_IDS, wanted)
    by_id = {str(row["id"]): row["id"] for row in rows}
    return {
        one: frozenset([by_id[one]] if one in by_id else [row["id"] for row in rows if row["name"] == one])
        for one in wanted
    }


async def list_guests(db: Db, guest_id: int | None = None) -> tuple[GuestView, ...]:
    return tuple(
        GuestView(**{**dict(row), "pinned_core_ids": tuple(row["pinned_core_ids"])})
        for row in await db.fetch(_GUESTS, guest_id)
        if row["host_id"] is not None
    )


async def holdings(db: Db, host_id: int) -> tuple[Holding, ...]:
    """Of all guests of its whole server that have pins, huge pages or virtual functions, whosever they are."""
    claims = defaultdict(list)
    for row in await db.fetch(_HOLDINGS, host_id):
        claims[row["machine_id"], row["guest_id"]].append((row["resource"], row["key"], row["amount"]))
    return tuple(
        Holding(
            guest_id=guest_id,
            ours=machine_id is not None,
            general_mib=sum(amount for resource, _, amount in rows if resource == "memory_mib"),
            counted=counted_of(rows),
        )
        for (machine_id, guest_id), rows in claims.items()
        if any(key is not None for _, key, _ in rows)
    )


def _host(row: asyncpg.Record, pools: list[asyncpg.Record], used: list[asyncpg.Record]) -> HostView:
    by_pool = {claim["storage_pool_id"]: claim["amount"] for claim in used if claim["storage_pool_id"] is not None}
    compute: Mapping[str, Any] = {claim["resource"]: claim["amount"] for claim in used}
    views = tuple(_storage_pool(pool, by_pool.get(pool["id"], 0)) for pool in pools)
    known = row["server_id"] is not None
    return HostView(
        id=row["id"],
        name=row["name"],
        driver=DriverType(row["driver"]),
        address=row["address"],
        project=row["project"],
        state=HostState(row["state"]),
        zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
        pool=ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"]),
        tags=tuple(row["tags"]),
        cpu_over_commit_ratio=row["cpu_over_commit_ratio"],
        memory_over_commit_ratio=row["memory_over_commit_ratio"],
        default_macvlan_mode=row["default_macvlan_mode"],
        system_id=row["system_id"],
        server_id=row["server_id"],
        cluster_id=row["cluster_id"],
        member=row["member"],
        architecture=row["architecture"],
        hypervisor_version=row["hypervisor_version"],
        emulated=row["emulated"],
        cpu_speed_mhz=row["cpu_speed_mhz"],
        total=Amounts(
            cores=row["cores"], memory_mib=row["memory_mib"], storage_bytes=sum(pool.total_bytes for pool in views)
        )
        if known
        else None,
        used=Amounts(
            cores=compute.get("cores", 0), memory_mib=compute.get("memory_mib", 0), storage_bytes=sum(by_pool.values())
        ),
        claimed=Amounts(
            cores=row["cores_claimed"] or 0,
            memory_mib=row["memory_mib_claimed"] or 0,
            storage_bytes=sum(pool.claimed_bytes for pool in views),
        ),
        reserved_cores=row["reserved_cores"],
        reserved_memory_mib=row["reserved_memory_mib"],
        huge_memory_mib=row["huge_memory_mib"] or 0,
        huge_memory_mib_claimed=row["huge_memory_mib_claimed"] or 0,
        storage_pools=views,
        networks=tuple(from_plain(network, HostNetwork) for network in row["networks"]),
        profiles=tuple(from_plain(profile, Profile) for profile in row["profiles"]),
        network_cards=tuple(from_plain(card, NetworkCard) for card in row["network_cards"] or ()),
        gpus=tuple(from_plain(gpu, Gpu) for gpu in row["gpus"] or ()),
        numa_nodes=tuple(from_plain(node, NumaNode) for node in row["numa_nodes"] or ()),
        public_key=row["public_key"],
        certificate_fingerprint=row["certificate_fingerprint"],
        certificate_expires_at=row["certificate_expires_at"],
        pinned_fingerprint=row["pinned_fingerprint"],
        error_code=row["error_code"],
        error_message=row["error_message"],
        problems=tuple(from_plain(problem, Problem) for problem in row["problems"]),
        refreshed_at=row["refreshed_at"],
        created_at=row["created_at"],
    )


def _storage_pool(row: asyncpg.Record, used_bytes: int) -> StoragePoolView:
    return StoragePoolView(
        id=row["id"],
        pool_key=row["pool_key"],
        name=row["name"],
        type=row["type"],
        path=row["path"],
        total_bytes=row["total_bytes"],
        used_bytes=used_bytes,
        claimed_bytes=row["claimed_bytes"],
        used_elsewhere_bytes=row["used_elsewhere_bytes"],
        is_default=bool(row["is_default"]),
        missing_since=row["missing_since"],
    )
