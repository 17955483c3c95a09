"""Claims capacity for several machines on several servers in one transaction, and their discrete resources.

The caller locks hosts and servers in id order (`lock_hosts`), adds to the guarded totals, then writes the claims.
Discrete resources are pinned cores, huge pages and virtual functions, which are never overcommitted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.errors import OutOfCapacity
from regiond.db.pool import Db, Row
from regiond.ledger.claimable import CLAIMED_OF_STORAGE
from regiond.ledger.model import ClaimResult, Demand, DiscreteResources, read_pages_key

# Locks in the order of server ids, so that two transactions with several servers cannot deadlock.
_LOCK = """
    select h.id as host_id from vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[]) order by s.id, h.id
       for key share of h for no key update of s
"""
# For what the transaction locks after the hosts, such as a storage pool, or a hostname that another transaction is
# about to insert: the other may wait for a server of this one. Well below PostgreSQL's deadlock_timeout of 1 s, which
# would abort either of the two.
_LIMIT_LATER_LOCKS = "select set_config('lock_timeout', '200ms', true)"
# A discovery run or a removal locks a host and its server for long: skips those.
_LOCK_AVAILABLE = """
    with timeout as (select set_config('lock_timeout', '200ms', true))
    select h.id as host_id from timeout, vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[]) order by s.id, h.id
       for key share of h skip locked for no key update of s skip locked
"""

# A claim must fit the ratios of its host; claims of several hosts of one server must fit the ratios of each. Ratios are
# cast to text, then to numeric: numeric because 100 x 0.29 is 29, text because a direct cast uses only 15 of the 17
# digits of a double, and placement uses all. On each server either all demands are claimed or none.
_CLAIM = f"""
    with disks as (
        select p.server_id, p.id, d.amount,
               p.missing_since is null and p.status = 'available'
                   and {CLAIMED_OF_STORAGE} + p.used_elsewhere_bytes
                       + sum(d.amount) over (partition by p.server_id, coalesce(nullif(p.storage_id, ''), p.id::text))
                       <= p.total_bytes as fits
          from unnest($4::integer[], $5::bigint[]) d (id, amount) join storage_pool p on p.id = d.id
    ), demanded as (
        select h.server_id, array_agg(h.id) as host_ids, sum(a.cores) as cores, sum(a.memory_mib) as memory_mib,
               bool_and(h.state <> 'removing' and h.maintenance_since is null) as accepts,
               min(floor((s.cores - h.reserved_cores) * h.cpu_over_commit_ratio::text::numeric)) as most_cores,
               min(floor((s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib)
                         * h.memory_over_commit_ratio::text::numeric)) as most_memory_mib,
               not exists (select from disks where disks.server_id = h.server_id and not fits) as disks_fit
          from unnest($1::integer[], $2::bigint[], $3::bigint[]) a (host_id, cores, memory_mib)
          join vm_host h on h.id = a.host_id join server s on s.id = h.server_id
         group by h.server_id
    ), compute as (
        update server s
           set cores_claimed = s.cores_claimed + demanded.cores,
               memory_mib_claimed = s.memory_mib_claimed + demanded.memory_mib
          from demanded
         where s.id = demanded.server_id and demanded.accepts and demanded.disks_fit
           and (demanded.cores = 0 or s.cores_claimed + demanded.cores <= demanded.most_cores)
           and (demanded.memory_mib = 0 or s.memory_mib_claimed + demanded.memory_mib <= demanded.most_memory_mib)
        returning s.id
    ), storage as (
        update storage_pool p set claimed_bytes = p.claimed_bytes + disks.amount
          from compute, disks
         where p.id = disks.id and p.server_id = compute.id
           and p.claimed_bytes + p.used_elsewhere_bytes + disks.amount <= p.total_bytes
        returning p.id, p.server_id
    )
    select demanded.server_id, demanded.host_ids, demanded.disks_fit, compute.id is not null as taken,
           array(select id from storage where storage.server_id = demanded.server_id) as pool_ids
      from demanded left join compute on compute.id = demanded.server_id
"""  # noqa: S608  a constant

_WRITE = """
    insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
    select * from unnest($1::integer[], $2::integer[], $3::text[], $4::integer[], $5::bigint[])
                    as held (server_id, machine_id, resource, storage_pool_id, amount)
     where amount > 0
"""


async def lock_hosts(db: Db, host_ids: Iterable[int], *, wait: bool) -> frozenset[int]:
    """Locks the hosts against removal and their servers against other claims, until the transaction ends.

    Returns the hosts that are locked. Omits hosts that were removed or have no server and, without `wait`, those that
    another transaction has locked. Without `wait` it also limits later locks (`limit_later_locks`).
    """
    return frozenset(row["host_id"] for row in await db.fetch(_LOCK if wait else _LOCK_AVAILABLE, sorted({*host_ids})))


async def limit_later_locks(db: Db) -> None:
    """From now on the transaction waits at most 200 ms for each lock and then raises LockNotAvailableError."""
    await db.execute(_LIMIT_LATER_LOCKS)


async def claim_batch(db: Db, demands: Sequence[Demand]) -> ClaimResult:
    """Adds the demands to the running totals. The caller holds the locks (`lock_hosts`) and writes the claims.

    If the demands on one server do not all fit, none of them changes it. Raises OutOfCapacity if a storage pool
    does not exist or belongs to another server; the caller's transaction must then roll back.
    """
    disks: Counter[int] = Counter()
    for demand in demands:
        disks.update(demand.storage_bytes)
    columns = ([one.host_id for one in demands], [one.cores for one in demands], [one.memory_mib for one in demands])
    rows = await db.fetch(_CLAIM, *columns, list(disks), list(disks.values()))
    servers = {host_id: row["server_id"] for row in rows if row["taken"] for host_id in row["host_ids"]}
    without = frozenset(host_id for row in rows if not row["disks_fit"] for host_id in row["host_ids"])
    changed = {host_id: {*row["pool_ids"]} for row in rows for host_id in row["host_ids"]}
    if any(one.host_id in servers and not one.storage_bytes.keys() <= changed[one.host_id] for one in demands):
        raise OutOfCapacity("A storage pool of the host has just been removed.")
    return ClaimResult(servers=servers, without_storage=without)


async def write_claims(db: Db, claims: Iterable[tuple[int, int, Demand]]) -> None:
    """Inserts the claims of (server id, machine id, demand) that `claim_batch` has added to the totals."""
    rows = [
        (server_id, machine_id, resource, pool_id, amount)
        for server_id, machine_id, demand in claims
        for resource, pool_id, amount in demand.rows()
    ]
    if rows:
        await db.execute(_WRITE, *(list(column) for column in zip(*rows, strict=True)))


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
_CLAIM_DISCRETE = """
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
        on conflict on constraint claim_holder_resource_key do update set amount = claim.amount + excluded.amount
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
        short = await db.fetch(_CLAIM_DISCRETE, server_id, machine_id, resources, keys, amounts)
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
