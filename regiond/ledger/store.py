"""Claims of machines and of foreign guests.

Every function that changes claims first takes the row lock of the server, by the guarded update or by `lock_server`;
so totals and sums cannot part, and no lock is wider than one server. Storage pools follow in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from common.errors import OutOfCapacity

if TYPE_CHECKING:
    from regiond.db.pool import Db

# A claim is checked against the ratios of the host that makes it; numeric, so that 100 x 0.29 is 29,
# and by way of text, since a cast alone keeps 15 of a double's 17 digits and placement sees them all.
# One statement: the server's row is locked first, and a pool's guard is asked again of what its row has become.
_CLAIM = """
    with compute as (
        update server s
           set cores_claimed = s.cores_claimed + $3, memory_mib_claimed = s.memory_mib_claimed + $4
          from vm_host h
         where h.id = $1 and s.id = h.server_id and h.state <> 'removing'
           and s.cores_claimed + $3 <= floor(s.cores * h.cpu_over_commit_ratio::text::numeric)
           and s.memory_mib_claimed + $4 <= floor(s.memory_mib * h.memory_over_commit_ratio::text::numeric)
        returning s.id
    ), storage as (
        update storage_pool p set claimed_bytes = p.claimed_bytes + asked.amount
          from compute, unnest($5::integer[], $6::bigint[]) asked (id, amount)
         where p.id = asked.id and p.server_id = compute.id and p.missing_since is null
           and p.claimed_bytes + p.used_elsewhere_bytes + asked.amount <= p.total_bytes
        returning p.id, asked.amount
    ), written as (
        insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
        select compute.id, $2, held.*
          from compute, (values ('cores', null::integer, $3::bigint), ('memory_mib', null, $4)
                         union all select 'storage_bytes', id, amount from storage) held
    )
    select (select id from compute) as server_id, (select count(*) from storage) as pools
"""

_HOLD = """
    insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
    select $1, $2, held.*
      from (values ('cores', null::integer, $3::bigint), ('memory_mib', null, $4)
            union all select 'storage_bytes', id, amount
                        from unnest($5::integer[], $6::bigint[]) asked (id, amount)) held
"""

_LOCK_SERVER = "select 1 from server where id = $1 for update"
_SERVERS_OF_MACHINE = "select distinct server_id from claim where machine_id = $1"
_MOVE_CLAIMS = """
    update claim c set server_id = $2,
           storage_pool_id = coalesce((select there.id from storage_pool was, storage_pool there
                                        where was.id = c.storage_pool_id and there.server_id = $2
                                          and there.pool_key = was.pool_key), c.storage_pool_id)
     where c.machine_id = $1
"""
_DROP_MACHINE = "delete from claim where machine_id = $1"
_DROP_GUESTS = "delete from claim where guest_id = any($1::integer[])"

_WRITE_GUEST_CLAIMS = """
    insert into claim (server_id, guest_id, resource, storage_pool_id, amount)
    select $1, guest_id, resource, storage_pool_id, sum(amount)
      from unnest($2::integer[], $3::text[], $4::integer[], $5::bigint[])
        as held (guest_id, resource, storage_pool_id, amount)
     where amount > 0
     group by guest_id, resource, storage_pool_id
"""

_RESIZE_MACHINE = """
    update claim set amount = $3 where machine_id = $1 and resource = $2 and amount <> $3
"""

_TOTAL_SERVER = """
    update server s set cores_claimed = t.cores, memory_mib_claimed = t.memory_mib
      from (select coalesce(sum(amount) filter (where resource = 'cores'), 0) as cores,
                   coalesce(sum(amount) filter (where resource = 'memory_mib'), 0) as memory_mib
              from claim where server_id = $1) t
     where s.id = $1 and (s.cores_claimed, s.memory_mib_claimed) is distinct from (t.cores, t.memory_mib)
"""

_TOTAL_POOLS = """
    update storage_pool p set claimed_bytes = t.claimed
      from (select p.id, coalesce(sum(c.amount), 0) as claimed
              from storage_pool p left join claim c on c.storage_pool_id = p.id
             where p.server_id = $1 group by p.id) t
     where p.id = t.id and p.claimed_bytes is distinct from t.claimed
"""

_DROP_CLAIMS = """
    delete from claim where server_id = $1 and not exists (select 1 from vm_host h where h.server_id = $1)
"""
_DROP_SERVER = """
    delete from server s where s.id = $1 and not exists (select 1 from vm_host h where h.server_id = s.id)
"""

_CHECK_SERVERS = """
    select s.identity, s.cores_claimed, s.memory_mib_claimed,
           coalesce(sum(c.amount) filter (where c.resource = 'cores'), 0)::bigint as cores,
           coalesce(sum(c.amount) filter (where c.resource = 'memory_mib'), 0)::bigint as memory_mib
      from server s left join claim c on c.server_id = s.id
     group by s.id
    having (s.cores_claimed, s.memory_mib_claimed) is distinct from
           (coalesce(sum(c.amount) filter (where c.resource = 'cores'), 0)::bigint,
            coalesce(sum(c.amount) filter (where c.resource = 'memory_mib'), 0)::bigint)
"""

_CHECK_POOLS = """
    select s.identity, p.name, p.claimed_bytes, coalesce(sum(c.amount), 0)::bigint as sum_bytes
      from storage_pool p join server s on s.id = p.server_id left join claim c on c.storage_pool_id = p.id
     group by s.identity, p.id
    having p.claimed_bytes <> coalesce(sum(c.amount), 0)::bigint
"""


@frozen(kw_only=True)
class GuestClaim:
    """What one foreign guest holds; `storage_bytes` by storage pool (row id)."""

    guest_id: int
    cores: int
    memory_mib: int
    storage_bytes: Mapping[int, int]


async def claim(
    db: Db, *, host_id: int, machine_id: int, cores: int, memory_mib: int, storage_bytes: Mapping[int, int]
) -> None:
    """Claim for a machine on the server of `host_id`, inside the caller's transaction.

    Raises OutOfCapacity when it no longer fits; the caller's transaction must then roll back.
    """
    claimed = await db.fetchrow(
        _CLAIM, host_id, machine_id, cores, memory_mib, list(storage_bytes), list(storage_bytes.values())
    )
    if claimed is None or claimed["server_id"] is None:
        raise OutOfCapacity(f"The host has no room any more for {cores} cores and {memory_mib} MiB of memory.")
    if claimed["pools"] != len(storage_bytes):
        asked = " and ".join(f"{amount} bytes" for amount in storage_bytes.values())
        raise OutOfCapacity(f"The host's storage pools have no room any more for {asked}.")


async def hold(
    db: Db, *, server_id: int, machine_id: int, cores: int, memory_mib: int, storage_bytes: Mapping[int, int]
) -> None:
    """What the guest of a machine takes already, in place of what the machine held: a fact, so it is never refused.

    The caller holds the server's lock and totals afterwards.
    """
    await db.execute(_DROP_MACHINE, machine_id)
    await db.execute(_HOLD, server_id, machine_id, cores, memory_mib, list(storage_bytes), list(storage_bytes.values()))


async def lock_server(db: Db, server_id: int) -> None:
    """Nobody else changes claims of this server until the transaction ends."""
    await db.execute(_LOCK_SERVER, server_id)


async def release_machine(db: Db, machine_id: int) -> None:
    """End every claim of a machine. Harmless to repeat."""
    for row in await db.fetch(_SERVERS_OF_MACHINE, machine_id):
        await lock_server(db, row["server_id"])
        await db.execute(_DROP_MACHINE, machine_id)
        await retotal(db, row["server_id"])


async def move_machine(db: Db, machine_id: int, server_id: int) -> None:
    """The guest is on another server of its cluster: a fact, so it is never refused. Pools of the same name take over.

    The caller holds the lock of the new server and totals it afterwards; the old one is locked and totalled here.
    Looks at members of one cluster wait for each other, so no two moves lock these in opposite order.
    """
    for row in await db.fetch(_SERVERS_OF_MACHINE, machine_id):
        if row["server_id"] == server_id:
            continue
        await lock_server(db, row["server_id"])
        await db.execute(_MOVE_CLAIMS, machine_id, server_id)
        await retotal(db, row["server_id"])


async def drop_guests(db: Db, guest_ids: Iterable[int]) -> None:
    """End the claims of foreign guests. The caller holds the server's lock and totals afterwards."""
    await db.execute(_DROP_GUESTS, list(guest_ids))


async def write_guests(db: Db, server_id: int, claims: Iterable[GuestClaim]) -> None:
    """Replace what these foreign guests hold by what was found: a fact, so it is never refused.

    The caller holds the server's lock and totals afterwards.
    """
    claims = list(claims)
    await drop_guests(db, [held.guest_id for held in claims])
    rows = [
        (held.guest_id, resource, pool_id, amount)
        for held in claims
        for resource, pool_id, amount in (
            ("cores", None, held.cores),
            ("memory_mib", None, held.memory_mib),
            *(("storage_bytes", pool_id, amount) for pool_id, amount in held.storage_bytes.items()),
        )
    ]
    if rows:
        guest_ids, resources, pools, amounts = zip(*rows, strict=True)
        await db.execute(_WRITE_GUEST_CLAIMS, server_id, list(guest_ids), list(resources), list(pools), list(amounts))


async def resize_machine(db: Db, machine_id: int, *, cores: int, memory_mib: int) -> None:
    """The guest of a machine was changed on its host: claim what it really has. Lock and totals as above."""
    await db.execute(_RESIZE_MACHINE, machine_id, "cores", cores)
    await db.execute(_RESIZE_MACHINE, machine_id, "memory_mib", memory_mib)


async def retotal(db: Db, server_id: int) -> None:
    """Set the running totals to the sums of the claims. The caller holds the server's lock."""
    await db.execute(_TOTAL_SERVER, server_id)
    await db.execute(_TOTAL_POOLS, server_id)


async def drop_server(db: Db, server_id: int) -> None:
    """A host has left it: it goes with all claims of foreign guests, unless another host is there."""
    await lock_server(db, server_id)  # whoever is about to share it has done so, or waits
    await db.execute(_DROP_CLAIMS, server_id)
    await db.execute(_DROP_SERVER, server_id)


async def check(db: Db) -> list[str]:
    """Every total that is not the sum of its claims, in words; empty when the ledger is right (invariant 2)."""
    wrong = [
        f"server {row['identity']}: totals say {row['cores_claimed']} cores and {row['memory_mib_claimed']} MiB, "
        f"claims add up to {row['cores']} and {row['memory_mib']}"
        for row in await db.fetch(_CHECK_SERVERS)
    ]
    wrong += [
        f"storage pool {row['name']} of {row['identity']}: the total says {row['claimed_bytes']} bytes, "
        f"claims add up to {row['sum_bytes']}"
        for row in await db.fetch(_CHECK_POOLS)
    ]
    return wrong
