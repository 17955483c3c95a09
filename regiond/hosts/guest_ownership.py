"""Makes a guest a machine, or a machine's guest foreign again, with its claims.

All functions join the caller's transaction and change only the database.
"""

from __future__ import annotations

from uuid import UUID

from attrs import evolve

from common.errors import NotFound
from common.values import Guest, PowerState
from regiond.db.pool import Db
from regiond.hosts import store as host_store
from regiond.hosts.discovery import store
from regiond.hosts.discovery.allocation_store import allocation_of, write_allocations, write_machine_resources
from regiond.hosts.discovery.snapshot import guest_record
from regiond.hosts.guest_record import GuestRecord
from regiond.hosts.model import HostGuest
from regiond.ledger import store as ledger_store
from regiond.ledger.totals import recompute_totals

# A host sees only the guests of its LXD project; other drivers have no projects.
_LOCK_GUESTS = """
    select g.id from guest g join vm_host h on h.server_id = g.server_id
     where h.id = $1 and (h.driver <> 'lxd' or g.project = h.project)
     order by g.id for no key update of g
"""
_CLEAR_MARKER = """
    update guest set marker_installation = null, marker_machine = null, generation = null
     where id = $1 and machine_id is null
"""
_SHARES_SERVER = """
    select exists (select from vm_host h join vm_host other on other.server_id = h.server_id and other.id <> h.id
                    where h.id = $1)
"""


async def lock_guests(db: Db, host_id: int) -> tuple[HostGuest, ...]:
    """Returns all guests that the host sees, by id. Locks them, and the host against removal, for the transaction.

    Locks the server first, so that the host stays in its zone while a machine is made of a guest.
    """
    await host_store.lock_existence(db, host_id)
    server_id = await store.server_id_of(db, host_id)
    if server_id is not None:
        await ledger_store.lock_server(db, server_id)
    ids = [row["id"] for row in await db.fetch(_LOCK_GUESTS, host_id)]
    return tuple(HostGuest(id=id_, record=record) for id_, record in (await store.guests_by_id(db, ids)).items())


async def shares_server(db: Db, host_id: int) -> bool:
    """Returns whether another host is on the same server."""
    return await db.fetchval(_SHARES_SERVER, host_id) is True


async def record_guest(db: Db, host_id: int, guest: Guest, machine_id: int, power: PowerState) -> None:
    """Records the guest that was composed for a machine, so that the next discovery run finds it unchanged.

    The machine holds the claims already. Claims of the guest as a foreign one, which a run may have written, are
    deleted.
    """
    server_id = await ledger_store.lock_server_of_host(db, host_id)
    if server_id is None:
        raise _no_server(host_id)
    if await store.write_guests(db, server_id, (guest_record(evolve(guest, power=power), machine_id),)):
        await recompute_totals(db, server_id)


async def attach_guest(db: Db, host_id: int, guest: Guest, machine_id: int) -> None:
    """Makes the guest, as the host has just reported it, the guest of the machine, which takes over its claims."""
    await attach_record(db, await _server_id(db, host_id), guest_record(guest, machine_id), machine_id)


async def reattach_guest(
    db: Db, host_id: int, guest_id: int, machine_id: int, installation_id: UUID, machine_uuid: UUID
) -> None:
    """Makes a recorded guest the machine that it was before; the machine takes over its claims."""
    server_id = await _server_id(db, host_id)
    record = (await store.guests_by_id(db, [guest_id]))[guest_id]
    marked = evolve(record, marker_installation=installation_id, marker_machine=machine_uuid)
    await attach_record(db, server_id, marked, machine_id)


async def attach_record(db: Db, server_id: int, record: GuestRecord, machine_id: int) -> None:
    """Attaches the guest of a record as `attach_guest` does, even if its claims exceed the server's capacity."""
    await ledger_store.lock_server(db, server_id)
    owned = evolve(record, machine_id=machine_id)
    held = await allocation_of(db, server_id, owned, record.key)
    await store.write_guests(db, server_id, (owned,))
    await ledger_store.record_actual(db, server_id=server_id, machine_id=machine_id, claims=held)
    await write_machine_resources(db, machine_id, held)
    await recompute_totals(db, server_id)


async def detach_guest(db: Db, machine_id: int, *, marked: bool = True) -> None:
    """Makes the machine's guest, if it has one, foreign; the guest takes over the machine's claims. Idempotent.

    `marked` False: our marker was removed from the guest.
    """
    found = await _locked_guest(db, machine_id)
    if found is None:
        await ledger_store.release_machine(db, machine_id)
        return
    server_id, foreign = found[0], evolve(found[1], machine_id=None)
    if not marked:
        foreign = evolve(foreign, marker_installation=None, marker_machine=None, generation=None)
    held = await allocation_of(db, server_id, foreign, machine_id)
    await ledger_store.release_machine(db, machine_id)
    await ledger_store.lock_server(db, server_id)
    await store.write_guests(db, server_id, (foreign,))
    await write_allocations(db, server_id, [(foreign, held)])
    await recompute_totals(db, server_id)


async def delete_guest(db: Db, machine_id: int) -> None:
    """Records that the host does not have the machine's guest; the machine retains its claims. Idempotent."""
    found = await _locked_guest(db, machine_id)
    if found is not None:
        server_id, guest = found
        await store.delete_guests(db, server_id, (guest.key,))


async def clear_guest_marker(db: Db, guest_id: int) -> None:
    """Records that our marker was removed from a foreign guest. Idempotent."""
    await db.execute(_CLEAR_MARKER, guest_id)


async def _locked_guest(db: Db, machine_id: int) -> tuple[int, GuestRecord] | None:
    """Locks the server of the machine's guest; returns the server's id and the guest, None if the machine has none."""
    found = await store.guest_of_machine(db, machine_id)
    if found is None:
        return None
    await ledger_store.lock_server(db, found[0])
    return await store.guest_of_machine(db, machine_id)  # the guest read before the lock may have changed


async def _server_id(db: Db, host_id: int) -> int:
    server_id = await store.server_id_of(db, host_id)
    if server_id is None:
        raise _no_server(host_id)
    return server_id


def _no_server(host_id: int) -> NotFound:
    return NotFound(f"VM host {host_id} no longer has a server.", host=host_id)
