"""What the mends read and write beside the stores of what they mend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from regiond.hosts.known import GuestRow
from regiond.ledger import store as ledger
from regiond.ledger.totals import retotal

if TYPE_CHECKING:
    import asyncpg

    from regiond.db.pool import Db

# Of the claims and of the pools that they are in.
_SERVERS_OF_CLAIMS = """
    select server_id from claim where machine_id = $1 or guest_id = $2
    union
    select p.server_id from claim c join storage_pool p on p.id = c.storage_pool_id
     where c.machine_id = $1 or c.guest_id = $2
"""
_DROP_CLAIMS = "delete from claim where server_id = $1 and (machine_id = $2 or guest_id = $3)"
_SERVER_OF_MACHINE = "select h.server_id from machine m join vm_host h on h.id = m.host_id where m.id = $1"
_SERVER_OF_HOST = "select server_id from vm_host where id = $1"
_MACHINE = """
    select m.hostname, m.architecture, m.power_state, m.cores, m.memory_mib, m.pinned_core_ids, m.huge_page_size_kib,
           coalesce(g.project, h.project) as project, coalesce(g.huge_pages_backed, false) as huge_pages_backed
      from machine m join vm_host h on h.id = m.host_id
      left join guest g on g.machine_id = m.id and g.server_id = h.server_id
     where m.id = $1
"""
_CARDS = "select kind, source from machine_nic where machine_id = $1 order by index"
_DISKS = """
    select d.storage_pool_id, sum(d.size_bytes)::bigint as size_bytes
      from machine_disk d join storage_pool p on p.id = d.storage_pool_id
     where d.machine_id = $1 and p.server_id = $2
     group by d.storage_pool_id order by d.storage_pool_id
"""
_LOCK_MACHINE = "select 1 from machine where id = $1 for update"
# Looks and composes keep the host (`for key share`) before they wait for its server, so that must not stand against it.
_LOCK_HOST = "select 1 from vm_host where id = $1 for no key update"
_LOCK_ADDRESS = "select 1 from ip_address where id = $1 for update"
_SERVER_OF_GUEST = "select server_id from guest where id = $1"
_LOCK_OPERATION = "select attempt, step from operation where id = $1 for update"
_DROP_ADDRESS = "delete from ip_address where id = $1"
_UNDO_AT_HOST = "update operation set reached_host = true, cancel_requested = true where id = $1"
_END_LEASE = """
    update operation set lease_owner = null, lease_until = null, not_before = least(not_before, now()) where id = $1
"""


@frozen(kw_only=True)
class Has:
    """What a machine has, from its own rows; `row` as a look would find its guest."""

    row: GuestRow
    huge_page_size_kib: int | None
    storage_bytes: Mapping[int, int]  # by storage pool (row id)


async def servers_of(db: Db, *, machine_id: int | None = None, guest_id: int | None = None) -> set[int]:
    """On which it claims anything, and those of the pools that it claims of."""
    return {row["server_id"] for row in await db.fetch(_SERVERS_OF_CLAIMS, machine_id, guest_id)}


async def server_of_machine(db: Db, machine_id: int) -> int | None:
    found: int | None = await db.fetchval(_SERVER_OF_MACHINE, machine_id)
    return found


async def lock_servers(db: Db, server_ids: Iterable[int]) -> None:
    """In the order of their ids, so that no two mends wait for each other."""
    for server_id in sorted(server_ids):
        await ledger.lock_server(db, server_id)


async def retotal_all(db: Db, server_ids: Iterable[int]) -> None:
    """Their locks are held."""
    for server_id in sorted(server_ids):
        await retotal(db, server_id)


async def drop_claims(db: Db, server_id: int, *, machine_id: int | None, guest_id: int | None) -> None:
    """Of this holder on this server. Totals are made by the caller."""
    await db.execute(_DROP_CLAIMS, server_id, machine_id, guest_id)


async def what_it_has(db: Db, machine_id: int, server_id: int) -> Has:
    """The machine is there; its row or its server is locked."""
    machine = await db.fetchrow(_MACHINE, machine_id)
    if machine is None:
        raise RuntimeError(f"machine {machine_id} went while its server was locked")
    cards = tuple(dict(row) for row in await db.fetch(_CARDS, machine_id))
    storage = {row["storage_pool_id"]: row["size_bytes"] for row in await db.fetch(_DISKS, machine_id, server_id)}
    size_kib: int | None = machine["huge_page_size_kib"]
    return Has(row=_row(machine_id, machine, cards), huge_page_size_kib=size_kib, storage_bytes=storage)


def _row(machine_id: int, machine: asyncpg.Record, cards: tuple[Mapping[str, Any], ...]) -> GuestRow:
    return GuestRow(
        project=machine["project"] or "",
        guest_key=f"machine {machine_id}",
        name=machine["hostname"],
        marked_installation=None,
        marked_machine=None,
        machine_id=machine_id,
        power_state=machine["power_state"],
        cores=machine["cores"],
        memory_mib=machine["memory_mib"],
        architecture=machine["architecture"],
        pinned_core_ids=tuple(machine["pinned_core_ids"]),
        huge_pages_backed=machine["huge_pages_backed"] or machine["huge_page_size_kib"] is not None,
        disks=(),
        nics=cards,
    )


async def lock_machine(db: Db, machine_id: int) -> None:
    """With its server, in the order in which a look locks them: no operation is opened meanwhile."""
    server_id = await server_of_machine(db, machine_id)
    if server_id is not None:
        await ledger.lock_server(db, server_id)
    await db.execute(_LOCK_MACHINE, machine_id)


async def lock_host(db: Db, host_id: int) -> None:
    """After its server, if it has one; nobody changes or removes it meanwhile."""
    server_id = await db.fetchval(_SERVER_OF_HOST, host_id)
    if server_id is not None:
        await ledger.lock_server(db, server_id)
    await db.execute(_LOCK_HOST, host_id)


async def lock_guest(db: Db, guest_id: int) -> int | None:
    """By its server, whose id is returned: no look takes anything of it in meanwhile."""
    server_id: int | None = await db.fetchval(_SERVER_OF_GUEST, guest_id)
    if server_id is not None:
        await ledger.lock_server(db, server_id)
    return server_id


async def lock_address(db: Db, address_id: int) -> None:
    await db.execute(_LOCK_ADDRESS, address_id)


async def drop_address(db: Db, address_id: int) -> None:
    await db.execute(_DROP_ADDRESS, address_id)


async def lock_operation(db: Db, operation_id: int) -> tuple[int, str | None]:
    """Its attempt and its step; nobody takes it over meanwhile."""
    row = await db.fetchrow(_LOCK_OPERATION, operation_id)
    return (0, None) if row is None else (row["attempt"], row["step"])


async def undo_at_host(db: Db, operation_id: int) -> None:
    """It is undone as one that was cancelled when its host had heard of it."""
    await db.execute(_UNDO_AT_HOST, operation_id)


async def end_lease(db: Db, operation_id: int) -> None:
    """Any region may take it at once; whoever still runs it writes nothing more."""
    await db.execute(_END_LEASE, operation_id)
