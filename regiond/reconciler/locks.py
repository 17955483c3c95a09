"""Locks the rows that a repair changes, in the order that discovery and composes use."""

from __future__ import annotations

from collections.abc import Iterable

from regiond.db.pool import Db
from regiond.ledger import store as ledger_store
from regiond.ledger.totals import recompute_totals

_SERVER_OF_MACHINE = "select h.server_id from machine m join vm_host h on h.id = m.host_id where m.id = $1"
_SERVER_OF_GUEST = "select server_id from guest where id = $1"
_LOCK_MACHINE = "select 1 from machine where id = $1 for update"
# Discovery runs and composes lock the host (`for key share`) before its server: this lock must not conflict with that.
_LOCK_HOST = "select 1 from vm_host where id = $1 for no key update"


async def server_of_machine(db: Db, machine_id: int) -> int | None:
    """Returns the id of the server that the machine's host is on."""
    server_id: int | None = await db.fetchval(_SERVER_OF_MACHINE, machine_id)
    return server_id


async def lock_servers(db: Db, server_ids: Iterable[int]) -> None:
    """Locks the servers in the order of their ids, to avoid deadlocks."""
    for server_id in sorted(server_ids):
        await ledger_store.lock_server(db, server_id)


async def recompute_totals_of(db: Db, server_ids: Iterable[int]) -> None:
    """Recomputes the totals of the servers, whose locks the caller holds."""
    for server_id in sorted(server_ids):
        await recompute_totals(db, server_id)


async def lock_machine(db: Db, machine_id: int) -> None:
    """Locks the machine's server, then the machine, so that no operation is opened on it until the transaction ends."""
    server_id = await server_of_machine(db, machine_id)
    if server_id is not None:
        await ledger_store.lock_server(db, server_id)
    await db.execute(_LOCK_MACHINE, machine_id)


async def lock_host(db: Db, host_id: int) -> None:
    """Locks the host's server, if it has one, then the host."""
    server_id = await ledger_store.server_of_host(db, host_id)
    if server_id is not None:
        await ledger_store.lock_server(db, server_id)
    await db.execute(_LOCK_HOST, host_id)


async def lock_guest(db: Db, guest_id: int) -> int | None:
    """Locks the guest's server, so that no discovery run changes the guest; returns the server's id."""
    server_id: int | None = await db.fetchval(_SERVER_OF_GUEST, guest_id)
    if server_id is not None:
        await ledger_store.lock_server(db, server_id)
    return server_id
