"""Room for machines, taken on several servers at once: locks in one order, guarded totals, then the claims' rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from common.errors import OutOfCapacity

if TYPE_CHECKING:
    from regiond.db.pool import Db

# In the order of the servers' ids, so that no two who take several wait for each other in a circle. A host that is
# being looked at or removed, and its server, is locked for long: those who need not wait for it leave it out.
_LOCK = """
    select h.id as host_id from vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[]) order by s.id, h.id
       for key share of h for no key update of s
"""
# Nor do they wait for long afterwards, for a name or an address that somebody else is about to take.
_LOCK_FREE = """
    with patience as (select set_config('lock_timeout', '200ms', true))
    select h.id as host_id from patience, vm_host h join server s on s.id = h.server_id
     where h.id = any($1::integer[]) order by s.id, h.id
       for key share of h skip locked for no key update of s skip locked
"""

# A claim is checked against the ratios of the host that makes it, of several hosts of one server against each of them;
# numeric, so that 100 x 0.29 is 29, and by way of text, since a cast alone keeps 15 of a double's 17 digits and
# placement sees them all. All that is asked of one server fits, or none of it is taken there.
_TAKE = """
    with disks as (
        select p.server_id, p.id, d.amount,
               p.missing_since is null and p.claimed_bytes + p.used_elsewhere_bytes + d.amount <= p.total_bytes as fits
          from unnest($4::integer[], $5::bigint[]) d (id, amount) join storage_pool p on p.id = d.id
    ), asked as (
        select h.server_id, array_agg(h.id) as host_ids, sum(a.cores) as cores, sum(a.memory_mib) as memory_mib,
               bool_and(h.state <> 'removing') as stays,
               min(floor((s.cores - h.reserved_cores) * h.cpu_over_commit_ratio::text::numeric)) as most_cores,
               min(floor((s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib)
                         * h.memory_over_commit_ratio::text::numeric)) as most_memory_mib,
               not exists (select from disks where disks.server_id = h.server_id and not fits) as disks_fit
          from unnest($1::integer[], $2::bigint[], $3::bigint[]) a (host_id, cores, memory_mib)
          join vm_host h on h.id = a.host_id join server s on s.id = h.server_id
         group by h.server_id
    ), compute as (
        update server s
           set cores_claimed = s.cores_claimed + asked.cores,
               memory_mib_claimed = s.memory_mib_claimed + asked.memory_mib
          from asked
         where s.id = asked.server_id and asked.stays and asked.disks_fit
           and s.cores_claimed + asked.cores <= asked.most_cores
           and (asked.memory_mib = 0 or s.memory_mib_claimed + asked.memory_mib <= asked.most_memory_mib)
        returning s.id
    ), storage as (
        update storage_pool p set claimed_bytes = p.claimed_bytes + disks.amount
          from compute, disks
         where p.id = disks.id and p.server_id = compute.id
           and p.claimed_bytes + p.used_elsewhere_bytes + disks.amount <= p.total_bytes
        returning p.id, p.server_id
    )
    select asked.server_id, asked.host_ids, asked.disks_fit, compute.id is not null as taken,
           array(select id from storage where storage.server_id = asked.server_id) as pool_ids
      from asked left join compute on compute.id = asked.server_id
"""

_WRITE = """
    insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
    select * from unnest($1::integer[], $2::integer[], $3::text[], $4::integer[], $5::bigint[])
                    as held (server_id, machine_id, resource, storage_pool_id, amount)
     where amount > 0
"""


@frozen(kw_only=True)
class Ask:
    """What a machine is to have on a host, but for what is counted; `storage_bytes` by storage pool (row id)."""

    host_id: int
    cores: int
    memory_mib: int
    storage_bytes: Mapping[int, int] = field(factory=dict)

    def rows(self) -> Iterable[tuple[str, int | None, int]]:
        yield "cores", None, self.cores
        yield "memory_mib", None, self.memory_mib
        for pool_id, amount in self.storage_bytes.items():
            yield "storage_bytes", pool_id, amount


@frozen(kw_only=True)
class Taken:
    """What came of several asks: the server of each host where all that was asked of it was taken, and the hosts where
    a storage pool had no room for it."""

    servers: Mapping[int, int]
    without_storage: frozenset[int]


async def lock_hosts(db: Db, host_ids: Iterable[int], *, wait: bool) -> frozenset[int]:
    """Those that stay, and whose servers nobody else changes claims of, until the transaction ends.

    Left out are hosts that are gone or have no server, and without `wait` those that somebody else has locked; the
    transaction then waits for no lock of any kind longer than 200 ms, and fails with LockNotAvailableError.
    """
    return frozenset(row["host_id"] for row in await db.fetch(_LOCK if wait else _LOCK_FREE, sorted({*host_ids})))


async def take(db: Db, asks: Sequence[Ask]) -> Taken:
    """Add what is asked to the running totals; the caller holds the hosts' locks (`lock_hosts`) and writes the claims.

    Whatever does not fit, with all others that ask the same server, changes nothing. Raises OutOfCapacity when a
    storage pool is gone, or another server's; the caller's transaction must then roll back.
    """
    disks: Counter[int] = Counter()
    for ask in asks:
        disks.update(ask.storage_bytes)
    columns = ([ask.host_id for ask in asks], [ask.cores for ask in asks], [ask.memory_mib for ask in asks])
    rows = await db.fetch(_TAKE, *columns, list(disks), list(disks.values()))
    servers = {host_id: row["server_id"] for row in rows if row["taken"] for host_id in row["host_ids"]}
    without = frozenset(host_id for row in rows if not row["disks_fit"] for host_id in row["host_ids"])
    changed = {host_id: {*row["pool_ids"]} for row in rows for host_id in row["host_ids"]}
    if any(ask.host_id in servers and not ask.storage_bytes.keys() <= changed[ask.host_id] for ask in asks):
        raise OutOfCapacity("A storage pool of the host went in this very moment.")
    return Taken(servers=servers, without_storage=without)


async def write_claims(db: Db, claims: Iterable[tuple[int, int, Ask]]) -> None:
    """The rows of what was taken: server, machine, and what it has there."""
    rows = [
        (server_id, machine_id, resource, pool_id, amount)
        for server_id, machine_id, ask in claims
        for resource, pool_id, amount in ask.rows()
    ]
    if rows:
        await db.execute(_WRITE, *(list(column) for column in zip(*rows, strict=True)))
