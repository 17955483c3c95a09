"""Reads hosts with totals, usage and storage pools, in a constant number of queries."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from common.errors import NotFound
from common.hardware import Gpu, NetworkDevice
from common.hosts.capacity import NOTHING, Capacity, ResourceCapacity
from common.hosts.discovery import Problem
from common.placement_groups import PlacementGroup
from common.serialization import from_dict
from common.values import Autostart, DriverType, HostNetwork, NumaNode, Profile
from regiond.db.pool import Db, of_row
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.error_details import PRODUCT, of_column
from regiond.hosts.maintenance.model import Maintenance
from regiond.hosts.model import (
    Amounts,
    ComposeTarget,
    ExpiringCertificate,
    HostState,
    HostView,
    StoragePoolView,
    storage_bytes_of,
)
from regiond.hosts.numa.numa_usage import NumaAllocation
from regiond.ledger.capacities import capacities_of_hosts
from regiond.ledger.model import HostCapacity, discrete_resources_of
from regiond.racks.model import SupervisedHost
from regiond.requests.audience import shown_to
from regiond.requests.caller import Caller, visible_pool_ids
from regiond.requests.identifiers import split_reference

_HOSTS = f"""
    select h.*, (select m.system_id from machine m where m.id = h.machine_id) as machine_system_id,
           z.name as zone_name, z.description as zone_description, p.name as pool_name,
           p.description as pool_description, s.architecture, s.hypervisor_version,
           {PRODUCT} as product, s.emulated, s.cpu_speed_mhz,
           s.cores, s.memory_mib, s.huge_memory_mib, s.cores_claimed, s.memory_mib_claimed, s.numa_nodes,
           s.network_devices, s.gpus,
           (select sum(r.claimed * split_part(r.key, '/', 2)::bigint) / 1024 from discrete_resource r
             where r.server_id = s.id and r.resource = 'huge_pages')::bigint as huge_memory_mib_claimed,
           coalesce(h.pinned_fingerprint = h.expected_fingerprint, false) as identity_confirmed,
           v.refreshed_at, t.name as cluster_name, k.fingerprint as certificate_fingerprint,
           k.expires_at as certificate_expires_at
      from vm_host h
      join zone z on z.id = h.zone_id
      join resource_pool p on p.id = h.pool_id
      left join server s on s.id = h.server_id
      left join vm_host_schedule v on v.host_id = h.id
      left join key_pair k on k.id = h.key_pair_id
      left join cluster t on t.id = h.cluster_id
     where h.id = any($1::integer[])
     order by h.id
"""  # noqa: S608  # our own text
_HOST_IDS = "select array(select id from vm_host where $1::integer[] is null or pool_id = any($1) order by id)"
# A host that runs on a machine of ours has that machine, unless the host is being removed.
_ID_OF_SYSTEM_IDS = """
    select id from vm_host
     where system_id = any($1::text[]) and machine_id is null and state <> 'removing'
       and ($2::integer[] is null or pool_id = any($2))
     order by id
"""
_COUNT = "select count(*) from vm_host where $1::integer[] is null or pool_id = any($1)"
_EXPIRING_CERTIFICATES = """
    select h.id as host_id, h.name as host_name, k.fingerprint, k.expires_at
      from vm_host h join key_pair k on k.id = h.key_pair_id
     where k.expires_at < $1 and ($2::integer[] is null or h.pool_id = any($2))
     order by k.expires_at, h.id limit $3
"""
_COMPOSE_TARGET = """
    select h.id, h.name, p.id as pool_id, p.name as pool_name, p.description as pool_description,
           s.architecture, s.cores, s.memory_mib, s.cpu_speed_mhz,
           array(select name from storage_pool o where o.server_id = s.id and o.missing_since is null order by o.id)
               as storage_pool_names
      from vm_host h join resource_pool p on p.id = h.pool_id left join server s on s.id = h.server_id
     where h.id = $1 and ($2::integer[] is null or h.pool_id = any($2))
"""
_SEES_HOST = "select exists (select from vm_host where id = $1 and ($2::integer[] is null or pool_id = any($2)))"

_SUPERVISED_HOSTS = """
    select h.id, h.state = 'ready' as is_ready, h.state = 'removing' as is_removing, h.zone_id,
           h.address, h.pinned_fingerprint, k.fingerprint as certificate_fingerprint
      from vm_host h left join key_pair k on k.id = h.key_pair_id
     order by h.id
"""
_IDS = """
    select id, name from vm_host
     where (name = any($1::text[]) or id::text = any($2::text[])) and ($3::integer[] is null or pool_id = any($3))
"""
_NAMES = "select name from vm_host where $1::integer[] is null or pool_id = any($1) order by name limit 10000"

_NAMES_OF = """
    select id, name from vm_host
     where id = any($1::integer[]) and ($2::integer[] is null or pool_id = any($2))
"""

_STORAGE_POOLS = """
    select h.id as host_id, p.*, p.id = h.default_storage_pool_id as is_default
      from vm_host h join storage_pool p on p.server_id = h.server_id
     where p.missing_since is null and h.id = any($1::integer[])
     order by h.id, p.id
"""

# What is used beside the claims of the host's own machines, which its capacity has: foreign guests in its project, and
# the memory of guests in huge pages. Together they are MAAS's "used".
_USED_BESIDE = """
    select h.id as host_id, c.resource, c.storage_pool_id, sum(c.amount)::bigint as amount
      from claim c
      join guest g on g.id = c.guest_id
      join vm_host h on h.server_id = c.server_id and h.project = g.project
     where c.guest_id is not null and c.key is null and h.id = any($1::integer[])
     group by h.id, c.resource, c.storage_pool_id
     union all
    select h.id, 'memory_mib', null, sum(coalesce(m.memory_mib, g.memory_mib))::bigint
      from (select distinct h.id, h.project, c.machine_id, c.guest_id
              from vm_host h join claim c on c.server_id = h.server_id and c.key is not null
             where h.id = any($1::integer[]) and c.resource = 'huge_pages') h
      left join machine m on m.id = h.machine_id
      left join guest g on g.id = h.guest_id
     where m.host_id = h.id or g.project = h.project
     group by h.id
"""

_NUMA_CLAIMS = """
    select c.machine_id, coalesce(c.guest_id, g.id) as guest_id, c.resource, c.key, c.amount
      from vm_host h join claim c on c.server_id = h.server_id left join guest g on g.machine_id = c.machine_id
     where h.id = $1 and c.resource <> 'storage_bytes'
     order by c.id
"""

_AMOUNTS = ("cores", "memory_mib", "storage_bytes")
_Used = tuple[str, int | None]  # one of them, and the row id of a storage pool


async def list_hosts(db: Db, ids: Sequence[int], *, caller: Caller | None = None) -> tuple[HostView, ...]:
    """Returns the hosts with these ids that the caller may see, as it may see them, by id, in four queries."""
    capacities = {one.host_id: one for one in await capacities_of_hosts(db, ids)}
    pools, used = defaultdict(list), defaultdict[int, Counter[_Used]](Counter)
    used.update({host_id: _used_by_machines(one) for host_id, one in capacities.items()})
    for row in await db.fetch(_USED_BESIDE, ids):
        used[row["host_id"]][row["resource"], row["storage_pool_id"]] += row["amount"]
    for row in await db.fetch(_STORAGE_POOLS, ids):
        pools[row["host_id"]].append(row)
    rows = await db.fetch(_HOSTS, ids)
    found = tuple(
        _host(row, pools[row["id"]], used[row["id"]], capacities[row["id"]].capacity)
        for row in rows
        if row["id"] in capacities  # it can have been added since they were read
    )
    return shown_to(caller, tuple(one for one in found if caller is None or caller.may_view(one.pool.id)))


async def read_host(db: Db, host_id: int, *, caller: Caller | None = None) -> HostView:
    """Returns the host. Raises NotFound, also for a host that the caller may not see."""
    sees = caller is None or await db.fetchval(_SEES_HOST, host_id, visible_pool_ids(caller))
    found = await list_hosts(db, [host_id], caller=caller) if sees else ()
    if not found:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    return found[0]


async def compose_target(db: Db, host_id: int, *, caller: Caller | None = None) -> ComposeTarget:
    """Returns the host. Raises NotFound, also for a host that the caller may not see."""
    row = await db.fetchrow(_COMPOSE_TARGET, host_id, visible_pool_ids(caller))
    if row is None:
        raise NotFound(f"There is no VM host {host_id}.", host=host_id)
    pool = ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"])
    return of_row(ComposeTarget, row, pool=pool, storage_pool_names=tuple(row["storage_pool_names"]))


async def host_ids(db: Db, *, caller: Caller | None = None) -> list[int]:
    found: list[int] = await db.fetchval(_HOST_IDS, visible_pool_ids(caller))
    return found


async def hosts_of_system_ids(
    db: Db, system_ids: Iterable[str], *, caller: Caller | None = None
) -> tuple[HostView, ...]:
    """Returns the hosts with these system ids that are not being removed and that the caller may see, by id.

    A host that runs on a machine of ours is left out: such a system id belongs to the machine.
    """
    rows = await db.fetch(_ID_OF_SYSTEM_IDS, list(system_ids), visible_pool_ids(caller))
    return await list_hosts(db, [row["id"] for row in rows], caller=caller) if rows else ()


async def count_hosts(db: Db, *, caller: Caller | None = None) -> int:
    """Returns the number of hosts that the caller may see; without a caller, of all."""
    found: int = await db.fetchval(_COUNT, visible_pool_ids(caller))
    return found


async def expiring_certificates(
    db: Db, before: datetime, *, limit: int, caller: Caller | None = None
) -> tuple[ExpiringCertificate, ...]:
    """Returns our certificates that expire before then, for hosts that the caller may see; the next to expire first."""
    rows = await db.fetch(_EXPIRING_CERTIFICATES, before, visible_pool_ids(caller), limit)
    return tuple(ExpiringCertificate(**row) for row in rows)


async def supervised_hosts(db: Db) -> tuple[SupervisedHost, ...]:
    """Returns all hosts by id, with only what the link supervisor needs every few seconds."""
    return tuple(SupervisedHost(**row) for row in await db.fetch(_SUPERVISED_HOSTS))


async def ids_of(db: Db, ids_or_names: Iterable[str], *, caller: Caller | None = None) -> Mapping[str, frozenset[int]]:
    """Returns the ids of the host that each text names: the host with that id, else the host with that name.

    An unknown text, or that of a host that the caller may not see, has no id.
    """
    wanted = {one: split_reference(one) for one in ids_or_names}
    possible_ids, possible_names = zip(*wanted.values(), strict=True) if wanted else ((), ())
    rows = await db.fetch(_IDS, possible_names, possible_ids, visible_pool_ids(caller))
    by_id, by_name = {str(row["id"]): row["id"] for row in rows}, {row["name"]: row["id"] for row in rows}
    found = {one: by_id.get(id_ or "", by_name.get(name or "")) for one, (id_, name) in wanted.items()}
    return {one: frozenset(() if host_id is None else (host_id,)) for one, host_id in found.items()}


async def names(db: Db, *, caller: Caller | None = None) -> tuple[str, ...]:
    """Returns the names of the hosts that the caller may see, for messages: at most 10 000 of them."""
    return tuple(row["name"] for row in await db.fetch(_NAMES, visible_pool_ids(caller)))


async def names_of(db: Db, ids: Iterable[int], *, caller: Caller | None = None) -> dict[int, str]:
    """Returns the names of the hosts that exist and that the caller may see, with one query."""
    rows = await db.fetch(_NAMES_OF, list(ids), visible_pool_ids(caller))
    return {row["id"]: row["name"] for row in rows}


async def numa_allocations(db: Db, host_id: int) -> tuple[NumaAllocation, ...]:
    """Returns the resources of all guests of the host's server, managed or foreign."""
    claims = defaultdict(list)
    for row in await db.fetch(_NUMA_CLAIMS, host_id):
        claims[row["machine_id"], row["guest_id"]].append((row["resource"], row["key"], row["amount"]))
    return tuple(
        NumaAllocation(
            guest_id=guest_id,
            is_machine=machine_id is not None,
            cores=sum(amount for resource, _, amount in rows if resource == "cores"),
            general_mib=sum(amount for resource, _, amount in rows if resource == "memory_mib"),
            discrete=discrete_resources_of(rows),
        )
        for (machine_id, guest_id), rows in claims.items()
    )


def _used_by_machines(host: HostCapacity) -> Counter[_Used]:
    """Returns what they use by resource and storage pool, without discrete resources such as pinned cores."""
    return Counter(
        {
            (resource, None if key is None else int(key)): amount
            for (resource, key), amount in host.claimed.items()
            if resource in _AMOUNTS
        }
    )


def _host(
    row: asyncpg.Record, pools: list[asyncpg.Record], used: Counter[_Used], capacity: Capacity | None
) -> HostView:
    used_bytes = {pool_id: amount for (_, pool_id), amount in used.items() if pool_id is not None}
    of_pool = {} if capacity is None else capacity.storage_pools
    storage_pools = tuple(
        _storage_pool(pool, _beside(pool, pools), used_bytes, of_pool.get(pool["name"], NOTHING)) for pool in pools
    )
    return of_row(
        HostView,
        row,
        **_amounts(row, storage_pools, used, sum(used_bytes.values())),
        capacity=capacity,
        driver=DriverType(row["driver"]),
        autostart=None if row["autostart"] is None else Autostart(row["autostart"]),
        state=HostState(row["state"]),
        maintenance=Maintenance.of_row(row),
        zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
        pool=ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"]),
        tags=tuple(row["tags"]),
        huge_memory_mib=row["huge_memory_mib"] or 0,
        huge_memory_mib_claimed=row["huge_memory_mib_claimed"] or 0,
        storage_pools=storage_pools,
        networks=tuple(from_dict(network, HostNetwork) for network in row["networks"]),
        profiles=tuple(from_dict(profile, Profile) for profile in row["profiles"]),
        placement_groups=tuple(from_dict(group, PlacementGroup) for group in row["placement_groups"]),
        network_devices=tuple(from_dict(device, NetworkDevice) for device in row["network_devices"] or ()),
        gpus=tuple(from_dict(gpu, Gpu) for gpu in row["gpus"] or ()),
        numa_nodes=tuple(from_dict(node, NumaNode) for node in row["numa_nodes"] or ()),
        error_details=of_column(row["error_details"]),
        problems=tuple(from_dict(problem, Problem) for problem in row["problems"]),
    )


def _amounts(
    row: asyncpg.Record, pools: Iterable[StoragePoolView], used: Counter[_Used], used_bytes: int
) -> dict[str, Any]:
    """Returns `total` (None before the first successful refresh), `used` and `claimed`."""
    total = None
    if row["server_id"] is not None:
        storage_bytes = storage_bytes_of(pools, lambda pool: pool.used_bytes)
        total = Amounts(cores=row["cores"], memory_mib=row["memory_mib"], storage_bytes=storage_bytes)
    return {
        "total": total,
        "used": Amounts(cores=used["cores", None], memory_mib=used["memory_mib", None], storage_bytes=used_bytes),
        "claimed": Amounts(
            cores=row["cores_claimed"] or 0,
            memory_mib=row["memory_mib_claimed"] or 0,
            storage_bytes=sum(pool.claimed_bytes for pool in pools),
        ),
    }


def _beside(pool: asyncpg.Record, pools: Iterable[asyncpg.Record]) -> list[asyncpg.Record]:
    """Returns the other pools on the same storage."""
    storage_id = pool["storage_id"]
    return [other for other in pools if storage_id and other["storage_id"] == storage_id and other["id"] != pool["id"]]


def _storage_pool(
    row: asyncpg.Record, beside: Iterable[asyncpg.Record], used_bytes: Mapping[int, int], capacity: ResourceCapacity
) -> StoragePoolView:
    beside = tuple(beside)
    return of_row(
        StoragePoolView,
        row,
        used_bytes=used_bytes.get(row["id"], 0),
        is_default=bool(row["is_default"]),
        capacity=capacity,
        shares_with=tuple(other["name"] for other in beside),
        used_beside_bytes=sum(used_bytes.get(other["id"], 0) for other in beside),
    )
