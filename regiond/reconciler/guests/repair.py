"""Adopts, unmarks or removes marked guests, or moves their machines."""

from __future__ import annotations

from common.errors import WrongState
from common.values import GuestRef, OwnershipMarker
from regiond.db.pool import Db
from regiond.hosts import guest_ownership
from regiond.hosts.discovery import store as discovery_store
from regiond.hosts.views import view_store as host_view_store
from regiond.machines.arrivals.adoption.intents import open_adoption
from regiond.machines.core.lifecycle_store import record_listed
from regiond.machines.core.operation_intents import open_clean_up, open_marker_removal
from regiond.networks.interface_store import bind_nics
from regiond.racks.service import read_installation_id
from regiond.reconciler import locks
from regiond.reconciler.claims.store import servers_of_claims
from regiond.reconciler.guests import detection, store
from regiond.reconciler.model import Discrepancy


async def remove_leftover(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that removes a guest whose machine has a tombstone."""
    guest_id = discrepancy.id_of("guest")
    await locks.lock_guest(db, guest_id)
    current = await _revalidated(db, discrepancy)
    if current is None or current.host_id is None or current.host_name is None:
        return None
    ref = GuestRef(name=current.name, marker=await _marker(db, guest_id))
    key = (await discovery_store.guests_by_id(db, [guest_id]))[guest_id].guest_key
    operation_id = await open_clean_up(db, current.host_id, current.host_name, ref, guest_id=key)
    return f"{current.found}: operation {operation_id} deletes it"


async def adopt(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the adoption of a guest whose marker names no machine. The guest is not changed or restarted."""
    guest_id = discrepancy.id_of("guest")
    if discrepancy.host_id is None:
        return None
    await guest_ownership.lock_guests(db, discrepancy.host_id)  # locks the guests in the same order as all adoptions
    current = await _revalidated(db, discrepancy)
    if current is None or current.host_id != discrepancy.host_id:
        return None
    host = await host_view_store.read_host(db, current.host_id)
    hostname, operation_id = await open_adoption(db, host, guest_id, await read_installation_id(db))
    return f"{current.found}: operation {operation_id} adopts it as {hostname}"


async def remove_marker(db: Db, discrepancy: Discrepancy) -> str | None:
    """Opens the operation that removes the marker from a copy, which becomes a foreign guest."""
    guest_id = discrepancy.id_of("guest")
    await locks.lock_guest(db, guest_id)
    current = await _revalidated(db, discrepancy)
    if current is None or current.host_id is None or current.host_name is None:
        return None
    key = (await discovery_store.guests_by_id(db, [guest_id]))[guest_id].guest_key
    operation_id = await open_marker_removal(
        db, current.host_id, current.host_name, guest_id, key, current.name, await _marker(db, guest_id)
    )
    return f"{current.found}: operation {operation_id} removes the marker from {current.name}"


async def move_machine(db: Db, discrepancy: Discrepancy) -> str | None:
    """Moves a machine in the ledger to the host of its guest, with the claims of the guest.

    Raises WrongState if the guest lacks volumes of the machine.
    """
    guest_id = discrepancy.id_of("guest")
    location = await store.read_location(db, guest_id)
    if location is None:
        return None
    claimed = await servers_of_claims(db, machine_id=location.machine_id, guest_id=guest_id)
    servers = {location.server_id, *claimed}
    await locks.lock_servers(db, servers)
    await locks.lock_machine(db, location.machine_id)
    await locks.lock_guest(db, guest_id)
    current = await _revalidated(db, discrepancy)
    if current is None or current.host_id is None or await store.read_location(db, guest_id) != location:
        return None
    absent = await store.move_machine(db, location.machine_id, current.host_id, guest_id)
    if absent:
        raise WrongState(
            f"The guest {current.name} on {current.host_name} lacks {', '.join(absent)} of the machine. Attach the "
            "volumes there, or move the guest back.",
            volumes=list(absent),
        )
    row = (await discovery_store.guests_by_id(db, [guest_id]))[guest_id]
    await guest_ownership.attach_record(db, location.server_id, row, location.machine_id)
    await bind_nics(db, [location.machine_id])
    await record_listed(db, location.machine_id, listed=True)
    await locks.recompute_totals_of(db, servers)
    return f"{current.found}; {current.expected}: the machine is on {current.host_name} now"


async def _marker(db: Db, guest_id: int) -> OwnershipMarker:
    """Returns the marker of a guest that was revalidated under its lock."""
    (guest,) = await store.marked_guests(db, guest_id)
    return OwnershipMarker(installation_id=await read_installation_id(db), machine_id=guest.marker)


async def _revalidated(db: Db, discrepancy: Discrepancy) -> Discrepancy | None:
    """Returns `Discrepancy.revalidated`, for a discrepancy whose key names a marked guest. Its locks are held."""
    guests = await store.marked_guests(db, discrepancy.id_of("guest"))
    return discrepancy.revalidated(detection.detect(guest) for guest in guests)
