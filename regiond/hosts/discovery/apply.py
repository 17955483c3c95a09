"""Applies a discovery run to the database in one transaction, under the lock of the server."""

from __future__ import annotations

from common.values import DriverType
from regiond.db.pool import Db
from regiond.hosts.discovery import orphaned_volume_store, store
from regiond.hosts.discovery.allocation_store import write_allocations, write_storage
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import ChangeKind, DiscoveryChanges, DiscoveryRun, GuestChange, GuestChangeHandler
from regiond.hosts.discovery.server_match import match_server
from regiond.hosts.discovery.snapshot import ServerSnapshot
from regiond.hosts.discovery.snapshot_store import read_snapshot
from regiond.hosts.guest_record import own_vlans
from regiond.hosts.image_copies import store as image_copy_store
from regiond.ledger import store as ledger_store
from regiond.ledger.claims import set_discrete_totals
from regiond.ledger.totals import recompute_totals
from regiond.networks.discovery.service import discover_networks
from regiond.networks.interface_store import bind_nics
from regiond.networks.ipam.seen_service import record_addresses


async def apply_discovery(
    db: Db, host_id: int, driver: DriverType, run: DiscoveryRun, machines: GuestChangeHandler
) -> DiscoveryChanges:
    """Applies the run and returns the changes. Writes no row of an unchanged host.

    Raises the errors of `match_server`, with nothing changed.
    """
    await store.lock_cluster(db, host_id)
    facts = run.discovery.facts
    server_id = await match_server(db, host_id, facts)
    await ledger_store.lock_server(db, server_id)
    await store.rekey_pools(db, server_id, facts.storage_pools)
    snapshot = await read_snapshot(
        db, server_id, host_id, run, machines, markers_listed=driver is not DriverType.LIBVIRT
    )
    changes = compare(run.discovery, snapshot)
    if not changes.none:
        if changes.facts is not None and snapshot.facts is not None:
            await store.write_server(db, server_id, changes.facts)
        await _write(db, host_id, server_id, changes, machines, _with_listed_disks(run, changes))
        await recompute_totals(db, server_id)
    await store.write_host(db, host_id, run.discovery)
    await discover_networks(db, host_id, facts)
    await record_addresses(
        db, host_id, run.discovery.guests, installation_id=snapshot.installation_id, began_at=run.began_at
    )
    moved = {change.machine_id for change in changes.machines if change.kind is ChangeKind.MOVED}
    await bind_nics(db, sorted(moved | _with_other_vlans(changes, snapshot)))
    return changes


async def _write(
    db: Db, host_id: int, server_id: int, changes: DiscoveryChanges, machines: GuestChangeHandler,
    with_listed_disks: tuple[int, ...],
) -> None:  # fmt: skip
    await store.write_pools(db, server_id, changes.pools_written, changes.pools_missing)
    await store.delete_guests(db, server_id, changes.deleted_guests)
    await store.write_guests(db, server_id, changes.guests_written)
    for change in changes.machines:
        await _notify(db, host_id, server_id, change, machines)
    await machines.disks_listed(db, with_listed_disks)  # growth that is pending no longer is not claimed below
    await set_discrete_totals(db, server_id, changes.totals_written)
    await write_allocations(db, server_id, changes.allocations)
    await write_storage(db, server_id, changes.storage)
    await orphaned_volume_store.write(db, server_id, changes.volumes)
    await image_copy_store.delete(db, server_id, changes.image_copies.deleted)
    await image_copy_store.write(db, server_id, changes.image_copies.written)


def _with_other_vlans(changes: DiscoveryChanges, snapshot: ServerSnapshot) -> set[int]:
    """Returns the machines of which a NIC has got or lost a VLAN of its own."""
    found = set()
    for record in changes.guests_written:
        before = snapshot.guests.get(record.key)
        if record.machine_id is not None and before is not None and own_vlans(before) != own_vlans(record):
            found.add(record.machine_id)
    return found


def _with_listed_disks(run: DiscoveryRun, changes: DiscoveryChanges) -> tuple[int, ...]:
    """Returns the machines whose guests have changed, without those that could not be read fully."""
    unread = {problem.subject for problem in run.discovery.problems}
    written = {one.machine_id for one in changes.guests_written if one.name not in unread}
    return tuple(sorted({one for one in written if one is not None} | {one.machine_id for one in changes.storage}))


async def _notify(db: Db, host_id: int, server_id: int, change: GuestChange, machines: GuestChangeHandler) -> None:
    id_, guest = change.machine_id, change.guest
    match change.kind:
        case ChangeKind.MISSING:
            await machines.guest_missing(db, id_)
        case ChangeKind.MOVED:
            await machines.guest_moved(db, id_, host_id=host_id, server_id=server_id)
            await ledger_store.move_machine(db, id_, server_id)
        case ChangeKind.RETURNED:
            await machines.guest_returned(db, id_)
        case ChangeKind.POWER if guest is not None:
            await machines.power_changed(db, id_, guest.power_state)
        case ChangeKind.RESIZED if guest is not None:
            await machines.guest_resized(db, id_, cores=guest.cores, memory_mib=guest.memory_mib)
        case ChangeKind.BOOTED_ONCE if guest is not None and guest.booted_once is not None:
            await machines.booted_once(db, id_, guest.booted_once)
        case ChangeKind.BOOT_DISK if guest is not None and (place := guest.boot_place()) is not None:
            await machines.boot_disk_changed(db, id_, *place)
