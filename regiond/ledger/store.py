"""Claims of machines and of foreign guests.

Every function that changes claims first takes the row lock of the server, by the guarded update or by `lock_server`;
so totals and sums cannot part, and no lock is wider than one server. Storage pools follow in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from common.errors import OutOfCapacity
from regiond.ledger.counted import claim_counted
from regiond.ledger.model import NOTHING_COUNTED, ClaimRow, Counted, Held
from regiond.ledger.taking import Ask, lock_hosts, take, write_claims
from regiond.ledger.totals import retotal

if TYPE_CHECKING:
    from regiond.db.pool import Db

_LOCK_SERVER = "select 1 from server where id = $1 for update"
# Of what it holds and of the pools that hold its disks: a cluster may move it to a member without such a pool.
_SERVERS_OF_MACHINE = """
    select server_id from claim where machine_id = $1
    union
    select p.server_id from claim c join storage_pool p on p.id = c.storage_pool_id where c.machine_id = $1
    order by 1
"""
_MOVE_CLAIMS = """
    update claim c set server_id = $2,
           storage_pool_id = coalesce((select there.id from storage_pool was, storage_pool there
                                        where was.id = c.storage_pool_id and there.server_id = $2
                                          and there.pool_key = was.pool_key), c.storage_pool_id)
     where c.machine_id = $1
"""
_DROP_MACHINE = "delete from claim where machine_id = $1"
_DROP_COMPUTE = "delete from claim where machine_id = $1 and resource <> 'storage_bytes'"
_DROP_GUESTS = "delete from claim where guest_id = any($1::integer[])"
_WRITE = """
    insert into claim (server_id, machine_id, guest_id, resource, storage_pool_id, key, amount)
    select $1, held.*
      from unnest($2::integer[], $3::integer[], $4::text[], $5::integer[], $6::text[], $7::bigint[])
        as held (machine_id, guest_id, resource, storage_pool_id, key, amount)
     where amount > 0
"""

_DROP_CLAIMS = """
    delete from claim where server_id = $1 and not exists (select 1 from vm_host h where h.server_id = $1)
"""
_DROP_SERVER = """
    delete from server s where s.id = $1 and not exists (select 1 from vm_host h where h.server_id = s.id)
"""

Holder = tuple[int | None, int | None]  # a machine or a guest


async def claim(db: Db, *, machine_id: int, ask: Ask, counted: Counted = NOTHING_COUNTED) -> None:
    """Claim for a machine on the server of `ask.host_id`, inside the caller's transaction.

    `ask.memory_mib` is 0 for a machine whose memory is all in huge pages. Raises OutOfCapacity, saying what went, when
    it no longer fits; the caller's transaction must then roll back.
    """
    await lock_hosts(db, [ask.host_id], wait=True)
    taken = await take(db, [ask])
    if ask.host_id in taken.without_storage:
        asked = " and ".join(f"{amount} bytes" for amount in ask.storage_bytes.values())
        raise OutOfCapacity(f"The host's storage pools have no room any more for {asked}.")
    if ask.host_id not in taken.servers:
        raise OutOfCapacity(f"The host has no room any more for {ask.cores} cores and {ask.memory_mib} MiB of memory.")
    await write_claims(db, [(taken.servers[ask.host_id], machine_id, ask)])
    await claim_counted(db, taken.servers[ask.host_id], machine_id, counted)


async def hold(db: Db, *, server_id: int, machine_id: int, held: Held) -> None:
    """What the guest of a machine takes already, in place of what the machine held: a fact, so it is never refused.

    The caller holds the server's lock and totals afterwards.
    """
    await db.execute(_DROP_MACHINE, machine_id)
    await _write(db, server_id, [((machine_id, None), row) for row in held.rows()])


async def lock_server(db: Db, server_id: int) -> None:
    """Nobody else changes claims of this server until the transaction ends."""
    await db.execute(_LOCK_SERVER, server_id)


async def release_machine(db: Db, machine_id: int) -> None:
    """End every claim of a machine. Harmless to repeat."""
    locked = await _lock_servers_of(db, machine_id)
    await db.execute(_DROP_MACHINE, machine_id)
    for server_id in locked:
        await retotal(db, server_id)


async def move_machine(db: Db, machine_id: int, server_id: int) -> None:
    """The guest is on another server of its cluster: a fact, so it is never refused. Pools of the same name take over.

    The caller holds the lock of the new server and totals it afterwards; the old one is locked and totalled here.
    Looks at members of one cluster wait for each other, so no two moves lock these in opposite order.
    """
    locked = await _lock_servers_of(db, machine_id)
    await db.execute(_MOVE_CLAIMS, machine_id, server_id)
    for left_id in locked:
        if left_id != server_id:
            await retotal(db, left_id)


async def _lock_servers_of(db: Db, machine_id: int) -> list[int]:
    """All on which the machine holds anything, also when it was moved while we waited for one of them."""
    locked: list[int] = []
    while found := [
        row["server_id"] for row in await db.fetch(_SERVERS_OF_MACHINE, machine_id) if row["server_id"] not in locked
    ]:
        for server_id in found:
            await lock_server(db, server_id)
        locked += found
    return locked


async def drop_guests(db: Db, guest_ids: Iterable[int]) -> None:
    """End the claims of foreign guests. The caller holds the server's lock and totals afterwards."""
    await db.execute(_DROP_GUESTS, list(guest_ids))


async def write_guests(db: Db, server_id: int, held: Mapping[int, Held]) -> None:
    """Replace what these foreign guests (row ids) hold by what was found: a fact, so it is never refused.

    The caller holds the server's lock and totals afterwards.
    """
    await drop_guests(db, held)
    await _write(db, server_id, [((None, guest_id), row) for guest_id, one in held.items() for row in one.rows()])


async def resize_machine(db: Db, *, server_id: int, machine_id: int, held: Held) -> None:
    """The guest of a machine was changed on its host: claim what it really has, but for storage. Lock and totals so."""
    await db.execute(_DROP_COMPUTE, machine_id)
    await _write(db, server_id, [((machine_id, None), row) for row in evolve(held, storage_bytes={}).rows()])


async def _write(db: Db, server_id: int, held: Sequence[tuple[Holder, ClaimRow]]) -> None:
    if held:
        columns = zip(*((*holder, *row) for holder, row in held), strict=True)
        await db.execute(_WRITE, server_id, *(list(column) for column in columns))


async def drop_server(db: Db, server_id: int) -> None:
    """A host has left it: it goes with all claims of foreign guests, unless another host is there."""
    await lock_server(db, server_id)  # whoever is about to share it has done so, or waits
    await db.execute(_DROP_CLAIMS, server_id)
    await db.execute(_DROP_SERVER, server_id)
