"""Applies a discovery run to the database in one transaction, under the lock of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.errors import WrongState
from common.values import DriverType, HostFacts
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts.discovery import orphaned_volume_store, store
from regiond.hosts.discovery.allocation_store import write_allocations
from regiond.hosts.discovery.diff import compare
from regiond.hosts.discovery.model import ChangeKind, DiscoveryChanges, DiscoveryRun, GuestChange, GuestChangeHandler
from regiond.hosts.discovery.snapshot_store import read_snapshot
from regiond.ledger import service as ledger
from regiond.ledger.service import recompute_totals, set_discrete_totals
from regiond.networks.service import bind_nics, discover_networks

if TYPE_CHECKING:
    from regiond.db.pool import Db


async def apply_discovery(
    db: Db, host_id: int, host_name: str, driver: DriverType, run: DiscoveryRun, machines: GuestChangeHandler
) -> DiscoveryChanges:
    """Returns what changed. An unchanged host costs no row.

    Raises WrongState if the host's address leads to another server and the host still has machines.
    """
    await store.lock_cluster(db, host_id)
    facts = run.discovery.facts
    server_id = await _server_id(db, host_id, host_name, f"{driver.value}/{facts.server_identity}", facts)
    await ledger.lock_server(db, server_id)
    snapshot = await read_snapshot(
        db, server_id, host_id, run, machines, markers_listed=driver is not DriverType.LIBVIRT
    )
    changes = compare(run.discovery, snapshot)
    if not changes.none:
        if changes.facts is not None and snapshot.facts is not None:
            await store.write_server(db, server_id, changes.facts)
        await _write(db, host_id, server_id, changes, machines)
        await recompute_totals(db, server_id)
    await store.write_host(db, host_id, run.discovery)
    await discover_networks(db, host_id, facts)
    await bind_nics(db, [change.machine_id for change in changes.machines if change.kind is ChangeKind.MOVED])
    return changes


async def _server_id(db: Db, host_id: int, host_name: str, identity: str, facts: HostFacts) -> int:
    server_id = await store.find_or_add_server(db, identity, facts)
    previous_id = await store.server_id_of(db, host_id)
    is_other = previous_id is not None and previous_id != server_id
    if is_other and (machines := await store.count_machines(db, host_id)):
        raise WrongState(
            f"The address of {host_name} now leads to another server ({identity}), but {machines} of its machines are "
            "on the previous one. Set the address back, or remove the host and add both.",
            machines=machines,
        )
    await store.set_server(db, host_id, server_id)
    if previous_id is not None and is_other:
        await ledger.drop_server(db, previous_id)
        message = f"{host_name}: the address now leads to another server ({identity}); its facts were replaced"
        await Events.record(db, "host_server_changed", message, level=Level.WARNING, host_id=host_id)
    return server_id


async def _write(db: Db, host_id: int, server_id: int, changes: DiscoveryChanges, machines: GuestChangeHandler) -> None:
    await store.write_pools(db, server_id, changes.pools_written, changes.pools_missing)
    await store.delete_guests(db, server_id, changes.deleted_guests)
    await store.write_guests(db, server_id, changes.guests_written)
    for change in changes.machines:
        await _notify(db, host_id, server_id, change, machines)
    await set_discrete_totals(db, server_id, changes.totals_written)
    await write_allocations(db, server_id, changes.allocations)
    await orphaned_volume_store.write(db, server_id, changes.volumes)


async def _notify(db: Db, host_id: int, server_id: int, change: GuestChange, machines: GuestChangeHandler) -> None:
    id_, guest = change.machine_id, change.guest
    match change.kind:
        case ChangeKind.MISSING:
            await machines.guest_missing(db, id_)
        case ChangeKind.MOVED:
            await machines.guest_moved(db, id_, host_id=host_id, server_id=server_id)
            await ledger.move_machine(db, id_, server_id)
        case ChangeKind.RETURNED:
            await machines.guest_returned(db, id_)
        case ChangeKind.POWER if guest is not None:
            await machines.power_changed(db, id_, guest.power_state)
        case ChangeKind.RESIZED if guest is not None:
            await machines.guest_resized(db, id_, cores=guest.cores, memory_mib=guest.memory_mib)
