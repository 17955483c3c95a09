"""SQL of the claims of machines and foreign guests.

Every change of claims first locks the row of the server, by a guarded update or by `lock_server`, so that the totals
always equal the sums and no lock covers more than one server. Storage pools are locked after it, in id order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from common.errors import OutOfCapacity
from common.words.phrases import number_of
from regiond.db.pool import Db
from regiond.ledger.claims import claim_batch, claim_discrete, lock_hosts, write_claims
from regiond.ledger.model import NO_DISCRETE_RESOURCES, ClaimRow, Demand, DiscreteResources, GuestClaims
from regiond.ledger.totals import recompute_totals

_SERVER_OF_HOST = "select server_id from vm_host where id = $1"
_LOCK_SERVER_OF_HOST = """
    select s.id from server s where s.id = (select server_id from vm_host where id = $1) for update
"""
_LOCK_SERVER = "select 1 from server where id = $1 for update"
# Includes the servers of its storage pools: a cluster can move a machine to a member that lacks the pool.
_SERVERS_OF_MACHINE = """
    select server_id from claim where machine_id = $1
    union
    select p.server_id from claim c join storage_pool p on p.id = c.storage_pool_id where c.machine_id = $1
    order by 1
"""
_MOVE_CLAIMS = """
    update claim c set server_id = $2,
           storage_pool_id = coalesce((select new.id from storage_pool old, storage_pool new
                                        where old.id = c.storage_pool_id and new.server_id = $2
                                          and new.pool_key = old.pool_key), c.storage_pool_id)
     where c.machine_id = $1
"""
_DROP_MACHINE = "delete from claim where machine_id = $1"
_DROP_COMPUTE = "delete from claim where machine_id = $1 and resource <> 'storage_bytes'"
_DROP_STORAGE = "delete from claim where machine_id = $1 and storage_pool_id = any($2::integer[])"
_DROP_GUESTS = "delete from claim where guest_id = any($1::integer[])"
_WRITE = """
    insert into claim (server_id, machine_id, guest_id, resource, storage_pool_id, key, amount)
    select $1, held.*
      from unnest($2::integer[], $3::integer[], $4::text[], $5::integer[], $6::text[], $7::bigint[])
        as held (machine_id, guest_id, resource, storage_pool_id, key, amount)
     where amount > 0
"""

# What the machine gets at its next start.
_PENDING = """
    select coalesce(pending_cores, 0) as cores, coalesce(pending_memory_mib, 0) as memory_mib from machine where id = $1
"""
# With the second volumes of disks that are moved.
_PENDING_GROWTH = """
    select storage_pool_id, sum(bytes)::bigint as bytes
      from (select storage_pool_id, pending_size_bytes - size_bytes as bytes
              from machine_disk where machine_id = $1 and pending_size_bytes is not null
            union all
            select second_storage_pool_id, greatest(size_bytes, pending_size_bytes)
              from machine_disk where machine_id = $1 and second_storage_pool_id is not null) disk
     group by storage_pool_id
"""

_DROP_CLAIMS = """
    delete from claim where server_id = $1 and not exists (select 1 from vm_host h where h.server_id = $1)
"""
_DROP_SERVER = """
    delete from server s where s.id = $1 and not exists (select 1 from vm_host h where h.server_id = s.id)
"""

Holder = tuple[int | None, int | None]  # machine id or guest id


async def server_of_host(db: Db, host_id: int) -> int | None:
    """Returns the server id; None if the host was removed or has had no good discovery run."""
    server_id: int | None = await db.fetchval(_SERVER_OF_HOST, host_id)
    return server_id


async def claim(
    db: Db, *, machine_id: int, demand: Demand, discrete: DiscreteResources = NO_DISCRETE_RESOURCES
) -> None:
    """Claims for a machine on the server of `demand.host_id`.

    Raises OutOfCapacity, naming what does not fit; the caller's transaction must then roll back.
    """
    await lock_hosts(db, [demand.host_id], wait=True)
    claimed = await claim_batch(db, [demand])
    if demand.host_id in claimed.without_storage:
        amounts = " and ".join(f"{amount} bytes" for amount in demand.storage_bytes.values())
        raise OutOfCapacity(f"The host's storage pools have too little free space for {amounts}.")
    if demand.host_id not in claimed.servers:
        raise OutOfCapacity(
            f"The host no longer has capacity for {number_of(demand.cores, 'core')} and {demand.memory_mib} MiB of "
            "memory."
        )
    await write_claims(db, [(claimed.servers[demand.host_id], machine_id, demand)])
    await claim_discrete(db, claimed.servers[demand.host_id], machine_id, discrete)


async def record_actual(db: Db, *, server_id: int, machine_id: int, claims: GuestClaims) -> None:
    """Replaces the claims of a machine by what its guest uses. Never rejected, since the guest already uses it.

    The caller holds the lock of the server and recomputes the totals afterwards.
    """
    await db.execute(_DROP_MACHINE, machine_id)
    held = await _with_pending(db, machine_id, claims)
    await _write(db, server_id, [((machine_id, None), row) for row in held.rows()])


async def lock_server_of_host(db: Db, host_id: int) -> int | None:
    """As `server_of_host`, with its claims locked as by `lock_server`."""
    server_id: int | None = await db.fetchval(_LOCK_SERVER_OF_HOST, host_id)
    return server_id


async def lock_server(db: Db, server_id: int) -> None:
    """Locks the claims of the server against changes until the transaction ends."""
    await db.execute(_LOCK_SERVER, server_id)


async def release_machine(db: Db, machine_id: int) -> None:
    """Deletes every claim of a machine. Idempotent."""
    locked = await lock_servers_of(db, machine_id)
    await db.execute(_DROP_MACHINE, machine_id)
    for server_id in locked:
        await recompute_totals(db, server_id)


async def move_machine(db: Db, machine_id: int, server_id: int) -> None:
    """Moves the claims of a machine whose guest is now on another member of its cluster. Never rejected.

    Storage claims move to the pools with the same key. The caller holds the lock of the new server and recomputes its
    totals afterwards; the old server is locked and recomputed here. Discovery runs of the members of a cluster exclude
    each other, so two moves cannot lock servers in opposite order.
    """
    locked = await lock_servers_of(db, machine_id)
    await db.execute(_MOVE_CLAIMS, machine_id, server_id)
    for old_id in locked:
        if old_id != server_id:
            await recompute_totals(db, old_id)


async def lock_servers_of(db: Db, machine_id: int) -> list[int]:
    """Locks the servers of which the machine claims something, and returns their ids.

    Repeats the query until it finds no new server, since the machine can move while a lock is awaited."""
    locked: list[int] = []
    while found := [
        row["server_id"] for row in await db.fetch(_SERVERS_OF_MACHINE, machine_id) if row["server_id"] not in locked
    ]:
        for server_id in found:
            await lock_server(db, server_id)
        locked += found
    return locked


async def drop_guests(db: Db, guest_ids: Iterable[int]) -> bool:
    """Deletes the claims of foreign guests. The caller holds the lock of the server and recomputes the totals.

    Returns whether there were any; without, the totals are right.
    """
    found: str = await db.execute(_DROP_GUESTS, list(guest_ids))
    return found != "DELETE 0"


async def write_guests(db: Db, server_id: int, claims: Mapping[int, GuestClaims]) -> None:
    """Replaces the claims of these foreign guests (by row id). Never rejected, since the guests already use them.

    The caller holds the lock of the server and recomputes the totals afterwards.
    """
    await drop_guests(db, claims)
    await _write(db, server_id, [((None, guest_id), row) for guest_id, one in claims.items() for row in one.rows()])


async def resize_machine(db: Db, *, server_id: int, machine_id: int, claims: GuestClaims) -> None:
    """Replaces all claims but storage by what the guest uses after a change on its host. Locks as `record_actual`."""
    await db.execute(_DROP_COMPUTE, machine_id)
    held = evolve(await _with_pending(db, machine_id, claims), storage_bytes={})
    await _write(db, server_id, [((machine_id, None), row) for row in held.rows()])


async def _with_pending(db: Db, machine_id: int, claims: GuestClaims) -> GuestClaims:
    """Returns the claims with what the machine gets at its next start, where that is more."""
    pending = await db.fetchrow(_PENDING, machine_id)
    if pending is None:
        return claims
    memory_mib = max(claims.memory_mib, pending["memory_mib"]) if claims.memory_mib else 0
    return evolve(claims, cores=max(claims.cores, pending["cores"]), memory_mib=memory_mib)


async def record_storage(db: Db, *, server_id: int, machine_id: int, storage_bytes: Mapping[int, int]) -> None:
    """Replaces the machine's claims on these storage pools (row ids) by what its disks use, and will use after its next
    start, however full the pools are; 0: no claim. Locks as `record_actual`."""
    await db.execute(_DROP_STORAGE, machine_id, list(storage_bytes))
    growth = {row["storage_pool_id"]: row["bytes"] for row in await db.fetch(_PENDING_GROWTH, machine_id)}
    rows: list[ClaimRow] = [
        ("storage_bytes", pool_id, None, amount + growth.get(pool_id, 0)) for pool_id, amount in storage_bytes.items()
    ]
    await _write(db, server_id, [((machine_id, None), row) for row in rows])


async def _write(db: Db, server_id: int, claims: Sequence[tuple[Holder, ClaimRow]]) -> None:
    if claims:
        columns = zip(*((*holder, *row) for holder, row in claims), strict=True)
        await db.execute(_WRITE, server_id, *(list(column) for column in columns))


async def drop_server(db: Db, server_id: int) -> None:
    """Deletes a server with all claims of its foreign guests, unless another host still uses it."""
    await lock_server(db, server_id)  # waits for a transaction that adds a host to the server
    await db.execute(_DROP_CLAIMS, server_id)
    await db.execute(_DROP_SERVER, server_id)
