"""Recomputes claims and totals, regardless of ratios, and releases orphaned addresses."""

from __future__ import annotations

from attrs import evolve

from regiond.db.pool import Db
from regiond.hosts.discovery import allocation_store
from regiond.hosts.discovery import store as discovery_store
from regiond.ledger import store as ledger_store
from regiond.ledger.consistency import total_mismatches
from regiond.ledger.totals import recompute_totals
from regiond.reconciler import locks
from regiond.reconciler.claims import store
from regiond.reconciler.claims.detection import detect_guest_claims, orphaned_claim, wrong_address, wrong_total
from regiond.reconciler.machines.repair import revalidate_machine
from regiond.reconciler.model import Discrepancy


async def recompute_server_totals(db: Db, discrepancy: Discrepancy) -> str | None:
    """Recomputes all totals of the server from its claims."""
    server_id = discrepancy.id_of("server")
    await ledger_store.lock_server(db, server_id)
    wrong = await total_mismatches(db, server_id)
    if discrepancy.revalidated(wrong_total(one, None, None) for one in wrong) is None:
        return None
    await recompute_totals(db, server_id)
    return "totals recomputed from the claims: " + "; ".join(
        f"{one.subject}: was {one.total}, is {one.claimed}" for one in wrong
    )


async def remove_claims(db: Db, discrepancy: Discrepancy) -> str | None:
    """Removes orphaned claims. A machine on another server claims its resources there, if it has no claims there."""
    server_id = discrepancy.id_of("server")
    machine_id = discrepancy.id_of("machine") if " machine " in discrepancy.key else None
    guest_id = discrepancy.id_of("guest") if " guest " in discrepancy.key else None
    servers = {server_id} | await store.servers_of_claims(db, machine_id=machine_id, guest_id=guest_id)
    actual_id = await locks.server_of_machine(db, machine_id) if machine_id is not None else None
    servers |= {actual_id} if actual_id is not None else set()
    await locks.lock_servers(db, servers)
    current = discrepancy.revalidated(orphaned_claim(one) for one in await store.orphaned_claims(db, server_id))
    if current is None:
        return None
    await store.drop_claims(db, server_id, machine_id=machine_id, guest_id=guest_id)
    result = f"{current.found}: removed"
    if machine_id is not None and actual_id is not None and not await _has_claims_on(db, machine_id, actual_id):
        await _write_claims(db, machine_id, actual_id)
        result = f"{current.found}: moved to the server that the machine is on"
    await locks.recompute_totals_of(db, servers)
    return result


async def rewrite_claims(db: Db, discrepancy: Discrepancy) -> str | None:
    """Replaces the claims of a machine by those of its own rows, or of a guest by those of the last refresh."""
    if discrepancy.key.startswith("guest "):
        return await _rewrite_guest_claims(db, discrepancy)
    machine_id = discrepancy.id_of("machine")
    server_id = await locks.server_of_machine(db, machine_id)
    if server_id is None:
        return None
    servers = {server_id} | await store.servers_of_claims(db, machine_id=machine_id)
    await locks.lock_servers(db, servers)
    await locks.lock_machine(db, machine_id)
    current = await revalidate_machine(db, discrepancy)
    if current is None or await locks.server_of_machine(db, machine_id) != server_id:
        return None  # the machine moved while this waited for locks: the next sweep handles it
    await _write_claims(db, machine_id, server_id)
    await locks.recompute_totals_of(db, servers)
    return f"{current.found}: now {current.expected}"


async def release_address(db: Db, discrepancy: Discrepancy) -> str | None:
    """Releases an address whose machine or NIC was deleted."""
    address_id = discrepancy.id_of("address")
    await store.lock_address(db, address_id)
    found = await store.wrong_addresses(db, address_id)
    if discrepancy.revalidated(wrong_address(one) for one in found) is None:
        return None
    await store.drop_address(db, address_id)
    return f"{discrepancy.name} was assigned to a machine or NIC that was deleted: released"


async def _rewrite_guest_claims(db: Db, discrepancy: Discrepancy) -> str | None:
    guest_id = discrepancy.id_of("guest")
    server_id = await locks.lock_guest(db, guest_id)
    found = await store.wrong_guest_claims(db, guest_id)
    current = discrepancy.revalidated(detect_guest_claims(one) for one in found)
    if current is None or server_id is None:
        return None
    row = (await discovery_store.guests_by_id(db, [guest_id]))[guest_id]
    await allocation_store.write_allocations(
        db, server_id, [(row, await allocation_store.allocation_of(db, server_id, row, row.key))]
    )
    await recompute_totals(db, server_id)
    return f"{current.found}: now {current.expected}"


async def _has_claims_on(db: Db, machine_id: int, server_id: int) -> bool:
    return server_id in await store.servers_of_claims(db, machine_id=machine_id)


async def _write_claims(db: Db, machine_id: int, server_id: int) -> None:
    """Replaces all claims of the machine. The caller recomputes the totals."""
    resources = await store.read_resources(db, machine_id, server_id)
    held = await allocation_store.allocation_of(
        db, server_id, resources.row, machine_id, huge_page_size_kib=resources.huge_page_size_kib
    )
    held = evolve(held, storage_bytes=resources.storage_bytes)
    await ledger_store.record_actual(db, server_id=server_id, machine_id=machine_id, claims=held)
