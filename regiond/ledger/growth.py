"""Claims more of its server for a machine that grows, and frees what it no longer uses."""

from __future__ import annotations

from common.errors import OutOfCapacity
from regiond.db.pool import Db
from regiond.ledger.claims import claim_batch, claim_discrete, lock_hosts
from regiond.ledger.machine_claims import claims_of_machine
from regiond.ledger.model import Demand, DiscreteResources, GuestClaims
from regiond.ledger.store import lock_servers_of, resize_machine, server_of_host
from regiond.ledger.totals import recompute_totals

_ADD = """
    insert into claim (server_id, machine_id, resource, amount)
    select $1, $2, more.* from unnest($3::text[], $4::bigint[]) more (resource, amount) where amount > 0
    on conflict on constraint claim_holder_resource_key do update set amount = claim.amount + excluded.amount
"""
_SERVER_OF_CORES = "select server_id from claim where machine_id = $1 and resource = 'cores'"
_SET = """
    update claim c set amount = held.amount
      from unnest(array['cores', 'memory_mib'], array[$2::bigint, $3::bigint]) held (resource, amount)
     where c.machine_id = $1 and c.resource = held.resource and c.amount <> held.amount
"""

_ADD_STORAGE = """
    insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
    values ($1, $2, 'storage_bytes', $3, $4)
    on conflict on constraint claim_holder_resource_key do update set amount = claim.amount + excluded.amount
"""
_REDUCE_STORAGE = """
    update claim set amount = amount - $3 where machine_id = $1 and storage_pool_id = $2 and amount > $3
"""
_DROP_STORAGE = "delete from claim where machine_id = $1 and storage_pool_id = $2 and amount <= $3"

_FREE_FUNCTION = """
    with reduced as (
        update claim set amount = amount - 1
         where machine_id = $1 and resource = 'virtual_functions' and key = $2 and amount > 1
    )
    delete from claim where machine_id = $1 and resource = 'virtual_functions' and key = $2 and amount = 1
"""


async def grow_machine(db: Db, machine_id: int, host_id: int, *, cores: int, memory_mib: int) -> Demand | None:
    """Claims what the machine lacks of these amounts, by the rules for new claims. Frees nothing.

    Returns the demand that does not fit, None if all is claimed. `memory_mib` is 0 for memory in huge pages.
    """
    await lock_hosts(db, [host_id], wait=True)
    held = await claims_of_machine(db, machine_id)
    demand = Demand(host_id=host_id, cores=max(0, cores - held.cores), memory_mib=max(0, memory_mib - held.memory_mib))
    if not demand.cores and not demand.memory_mib:
        return None
    claimed = await claim_batch(db, [demand])
    if host_id not in claimed.servers:
        return demand
    amounts = (["cores", "memory_mib"], [demand.cores, demand.memory_mib])
    await db.execute(_ADD, claimed.servers[host_id], machine_id, *amounts)
    return None


async def grow_bound(db: Db, machine_id: int, host_id: int, wanted: DiscreteResources) -> None:
    """Claims what the machine lacks of these pinned cores and huge pages. Frees nothing.

    Raises OutOfCapacity naming what is no longer free; the caller's transaction must then roll back.
    """
    await lock_hosts(db, [host_id], wait=True)
    server_id = await server_of_host(db, host_id)
    if server_id is None:
        raise OutOfCapacity("The host was just removed.")
    held = (await claims_of_machine(db, machine_id)).discrete
    more = DiscreteResources(
        pinned_core_ids={*wanted.pinned_core_ids} - {*held.pinned_core_ids},
        huge_pages={key: max(0, pages - held.huge_pages.get(key, 0)) for key, pages in wanted.huge_pages.items()},
    )
    await claim_discrete(db, server_id, machine_id, more)


async def grow_storage(db: Db, machine_id: int, host_id: int, storage_pool_id: int, more_bytes: int) -> bool:
    """Claims this much more of the storage pool (row id) for the machine, by the rules for new claims.

    Returns False, with nothing changed, if it does not fit.
    """
    await lock_hosts(db, [host_id], wait=True)
    demand = Demand(host_id=host_id, cores=0, memory_mib=0, storage_bytes={storage_pool_id: more_bytes})
    claimed = await claim_batch(db, [demand])
    if host_id not in claimed.servers:
        return False
    await db.execute(_ADD_STORAGE, claimed.servers[host_id], machine_id, storage_pool_id, more_bytes)
    return True


async def free_storage(db: Db, machine_id: int, storage_pool_id: int, less_bytes: int) -> None:
    """Reduces the claim of a machine on the storage pool (row id) by this much, to nothing at the lowest."""
    locked = await lock_servers_of(db, machine_id)
    await db.execute(_DROP_STORAGE, machine_id, storage_pool_id, less_bytes)
    await db.execute(_REDUCE_STORAGE, machine_id, storage_pool_id, less_bytes)
    for server_id in locked:
        await recompute_totals(db, server_id)


async def claim_function(db: Db, machine_id: int, host_id: int, port: str) -> None:
    """Claims one more virtual function of the port. Raises OutOfCapacity; the caller's transaction must roll back."""
    await lock_hosts(db, [host_id], wait=True)
    server_id = await server_of_host(db, host_id)
    if server_id is None:
        raise OutOfCapacity("The host was just removed.")
    await claim_discrete(db, server_id, machine_id, DiscreteResources(functions={port: 1}))


async def free_function(db: Db, machine_id: int, port: str) -> None:
    """Frees one virtual function that the machine claims of the port."""
    locked = await lock_servers_of(db, machine_id)
    await db.execute(_FREE_FUNCTION, machine_id, port)
    for server_id in locked:
        await recompute_totals(db, server_id)


async def settle_machine(db: Db, machine_id: int, *, cores: int, memory_mib: int) -> None:
    """Sets the claims of a machine to what it uses now, or will at its next start. Never rejected. Idempotent.

    A machine without claims of cores or general memory gets none.
    """
    locked = await lock_servers_of(db, machine_id)
    await db.execute(_SET, machine_id, cores, memory_mib)
    for server_id in locked:
        await recompute_totals(db, server_id)


async def settle_bound(db: Db, machine_id: int, *, cores: int, memory_mib: int, bound: DiscreteResources) -> None:
    """As `settle_machine`, also for the pinned cores and huge pages of a machine. `memory_mib` is general memory."""
    locked = await lock_servers_of(db, machine_id)
    server_id = await db.fetchval(_SERVER_OF_CORES, machine_id)
    if server_id is None:
        return
    functions = (await claims_of_machine(db, machine_id)).discrete.functions
    discrete = DiscreteResources(
        pinned_core_ids=bound.pinned_core_ids, huge_pages=bound.huge_pages, functions=functions
    )
    claims = GuestClaims(cores=cores, memory_mib=memory_mib, discrete=discrete)
    await resize_machine(db, server_id=server_id, machine_id=machine_id, claims=claims)
    for one in locked:
        await recompute_totals(db, one)
