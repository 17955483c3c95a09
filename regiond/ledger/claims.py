"""Claims capacity for several machines on several servers in one transaction.

The caller locks hosts and servers in id order (`lock_hosts`), adds to the guarded totals, then writes the claims.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from common.errors import OutOfCapacity
from regiond.db.pool import Db
from regiond.ledger.model import ClaimResult, Demand

# Locks in the order of server ids, so that two transactions with several servers cannot deadlock.
_LOCK = """
    select h.id as host_id from vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[]) order by s.id, h.id
       for key share of h for no key update of s
"""
# A discovery run or a removal locks a host and its server for long: skips those. The timeout also covers later locks of
# the transaction, such as on a hostname or an address that another transaction is about to insert.
_LOCK_AVAILABLE = """
    with timeout as (select set_config('lock_timeout', '200ms', true))
    select h.id as host_id from timeout, vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[]) order by s.id, h.id
       for key share of h skip locked for no key update of s skip locked
"""

# A claim must fit the ratios of its host; claims of several hosts of one server must fit the ratios of each. Ratios are
# cast to text, then to numeric: numeric because 100 x 0.29 is 29, text because a direct cast uses only 15 of the 17
# digits of a double, and placement uses all. On each server either all demands are claimed or none.
_CLAIM = """
    with disks as (
        select p.server_id, p.id, d.amount,
               p.missing_since is null and p.status = 'available'
                   and p.claimed_bytes + p.used_elsewhere_bytes + d.amount <= p.total_bytes as fits
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
           and s.cores_claimed + demanded.cores <= demanded.most_cores
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
"""

_WRITE = """
    insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
    select * from unnest($1::integer[], $2::integer[], $3::text[], $4::integer[], $5::bigint[])
                    as held (server_id, machine_id, resource, storage_pool_id, amount)
     where amount > 0
"""


async def lock_hosts(db: Db, host_ids: Iterable[int], *, wait: bool) -> frozenset[int]:
    """Locks the hosts against removal and their servers against other claims, until the transaction ends.

    Returns the hosts that are locked. Omits hosts that were removed or have no server and, without `wait`, those that
    another transaction has locked. Without `wait` the transaction waits at most 200 ms for any later lock and then
    raises LockNotAvailableError.
    """
    return frozenset(row["host_id"] for row in await db.fetch(_LOCK if wait else _LOCK_AVAILABLE, sorted({*host_ids})))


async def claim_batch(db: Db, demands: Sequence[Demand]) -> ClaimResult:
    """Adds the demands to the running totals. The caller holds the locks (`lock_hosts`) and calls `write_claims`.

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
