"""Compares a discovery run with the database and finds every change. Pure.

Foreign guests become rows with claims of their own. A guest with our marker belongs to its machine, which holds the
claims. Machines that an operation acts on, or that changed after the run started, are skipped: their facts are newer.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from uuid import UUID

from attrs import evolve

from common.hosts.discovery import Discovery
from common.values import POOL_AVAILABLE, Guest, HostFacts, OwnershipMarker, PowerState, StoragePool
from regiond.hosts.discovery.allocations import GuestKey, inventory_of
from regiond.hosts.discovery.discrete_resources import allocation_changes, total_changes
from regiond.hosts.discovery.incomplete_guests import completed
from regiond.hosts.discovery.machine_storage import StorageChange, newly_missing, storage_changes
from regiond.hosts.discovery.model import ChangeKind, DiscoveryChanges, GuestChange, OrphanedGuest
from regiond.hosts.discovery.orphaned_volumes import volume_changes
from regiond.hosts.discovery.shared_disks import with_shared_disks
from regiond.hosts.discovery.snapshot import (
    MachineSnapshot,
    ServerSnapshot,
    guest_record,
    has_other_boot_disk,
    is_known_by_id,
    is_resized,
    was_booted_once,
)
from regiond.hosts.guest_record import GuestRecord
from regiond.hosts.image_copies.model import copy_changes
from regiond.hosts.restored_guests import is_leftover
from regiond.ledger.model import NO_DISCRETE_RESOURCES, GuestClaims


def compare(discovery: Discovery, snapshot: ServerSnapshot) -> DiscoveryChanges:
    """Returns the changes to write. A storage pool or machine that was missing before is no change."""
    pools = {pool.pool_id: _with_known_sizes(pool, snapshot) for pool in discovery.facts.storage_pools}
    records = _guest_records(discovery, snapshot)
    found = {record.key: record for record in records}
    unsettled = {machine.id for machine in snapshot.machines.values() if not machine.settled}
    written = tuple(record for record in records if _is_changed(record, snapshot, unsettled))
    unread = {problem.subject for problem in discovery.problems}
    missing = {key: row for key, row in snapshot.guests.items() if key not in found and row.name not in unread}
    deleted = [key for key, row in missing.items() if row.machine_id not in unsettled]
    unread_machines = {
        row.machine_id for key, row in snapshot.guests.items() if key not in found and key not in missing
    }
    inventory = inventory_of(discovery.facts.numa_nodes, discovery.facts.network_devices)
    facts = _server_facts(discovery.facts)
    new_facts = facts != snapshot.facts or inventory.huge_memory_mib != snapshot.huge_memory_mib
    changed = allocation_changes(records, {record.key for record in written}, inventory, snapshot, unsettled, deleted)
    moved_away = _moved_away(discovery, snapshot)
    storage = storage_changes(discovery, records, snapshot)
    return DiscoveryChanges(
        facts=facts if new_facts else None,
        pools_written=tuple(pool for key, pool in pools.items() if snapshot.storage_pools.get(key) != pool),
        pools_changed=tuple(pool for key, pool in pools.items() if _has_new_status(pool, snapshot)),
        pools_missing=tuple(sorted(set(snapshot.storage_pools) - set(pools))),
        guests_written=written,
        deleted_guests=tuple(sorted(deleted)),
        totals_written=total_changes(inventory, snapshot),
        allocations=changed,
        storage=storage,
        machines=(
            *_machine_changes(records, snapshot, unread_machines, moved_away),
            *_reallocated(changed, snapshot),
            *_disk_changes(records, storage, snapshot),
        ),
        orphaned_guests=tuple(_orphaned_guests(written, records, snapshot)),
        volumes=volume_changes(discovery, snapshot.volumes, snapshot.installation_id),
        image_copies=copy_changes(discovery, snapshot.image_copies),
        members_moved_to=_new_members(moved_away, snapshot, {snapshot.guests[key].machine_id for key in deleted}),
    )


def _new_members(
    moved_away: Mapping[UUID, str], snapshot: ServerSnapshot, left: Container[int | None]
) -> tuple[str, ...]:
    """Returns the members that have machines of this host now. `left`: those whose guests this run is the first not to
    find; a later run does not name them again."""
    here = (one for one in snapshot.machines.values() if one.on_this_host and one.settled and one.id in left)
    return tuple(sorted({moved_away[one.uuid] for one in here if one.uuid in moved_away}))


def _with_known_sizes(pool: StoragePool, snapshot: ServerSnapshot) -> StoragePool:
    """Returns the pool, if unavailable with its last known sizes and storage: it then reports none, or those of another
    disk."""
    before = snapshot.storage_pools.get(pool.pool_id)
    if pool.is_available or before is None:
        return pool
    return evolve(
        pool, total_bytes=before.total_bytes, used_elsewhere_bytes=before.used_elsewhere_bytes,
        storage_id=before.storage_id,
    )  # fmt: skip


def _has_new_status(pool: StoragePool, snapshot: ServerSnapshot) -> bool:
    """Returns whether the status differs from the last one. A new pool counts only if it is not available."""
    before = snapshot.storage_pools.get(pool.pool_id)
    return pool.status != (POOL_AVAILABLE if before is None else before.status)


def _server_facts(facts: HostFacts) -> HostFacts:
    """Returns the facts of the server, which are the same whichever of its hosts was discovered."""
    return evolve(
        facts, storage_pools=(), networks=(), profiles=(), tags=(), extensions=(), cluster_member=None,
        cluster_members=(), placement_groups=(),
    )  # fmt: skip


def _guest_records(discovery: Discovery, snapshot: ServerSnapshot) -> list[GuestRecord]:
    records = [record for guest in discovery.guests for record in [_record(guest, snapshot)] if record is not None]
    unread = {problem.subject for problem in discovery.problems}  # these guests exist, but were not read completely
    incomplete = {(guest.project, guest.guest_id) for guest in discovery.guests if not guest.is_complete}
    records = [
        _with_known_disks(record, snapshot) if record.name in unread else record
        for record in _one_guest_per_machine(records, snapshot)
    ]
    records = [completed(record, snapshot) if record.key in incomplete else record for record in records]
    records = [_with_known_next_start(record, snapshot) for record in records]
    return list(with_shared_disks(records, snapshot.guests))


def _record(guest: Guest, snapshot: ServerSnapshot) -> GuestRecord | None:
    """Returns the record of the guest; None for a guest that was removed during the run."""
    guest = evolve(guest, marker=_marker(guest, snapshot))
    marker = guest.marker if guest.marker and guest.marker.installation_id == snapshot.installation_id else None
    if marker is not None and marker.machine_id in snapshot.new_tombstones:
        return None
    machine = snapshot.machines.get(marker.machine_id) if marker is not None else None
    return guest_record(guest, machine.id if machine else None)


def _marker(guest: Guest, snapshot: ServerSnapshot) -> OwnershipMarker | None:
    """Returns the marker. Where listings omit the marker of an adopted guest, its id is the UUID of its machine."""
    if guest.marker is not None or snapshot.markers_listed:
        return guest.marker
    try:
        machine = snapshot.machines.get(UUID(guest.guest_id))
    except ValueError:
        return None
    if machine is None or not is_known_by_id(machine):
        return None
    return OwnershipMarker(installation_id=snapshot.installation_id, machine_id=machine.uuid)


def _with_known_disks(record: GuestRecord, snapshot: ServerSnapshot) -> GuestRecord:
    """Returns the record with the last known size of disks whose size the driver could not read."""
    before = snapshot.guests.get(record.key)
    return record if before is None else evolve(record, disks=before.disks)


def _with_known_next_start(record: GuestRecord, snapshot: ServerSnapshot) -> GuestRecord:
    """Returns the record, with what is known of the next start of a running guest that does not show it."""
    before = snapshot.guests.get(record.key)
    if before is None or record.power_state == PowerState.OFF:
        return record
    order = before.boot_order if record.boot_order is None else record.boot_order
    next_iso = before.next_iso if record.next_iso is None else record.next_iso
    return evolve(record, boot_order=order, next_iso=None if next_iso == record.iso else next_iso)


def _one_guest_per_machine(records: Iterable[GuestRecord], snapshot: ServerSnapshot) -> list[GuestRecord]:
    """Makes all but one guest with the same marker foreign.

    The recorded guest remains the machine's, or if there is none, the guest with the machine's name.
    """
    hostnames = {machine.id: machine.hostname for machine in snapshot.machines.values()}

    def rank(record: GuestRecord) -> tuple[bool, bool, GuestKey]:
        before = snapshot.guests.get(record.key)
        is_recorded = before is not None and before.machine_id == record.machine_id
        return not is_recorded, record.name != hostnames.get(record.machine_id or 0), record.key

    records = list(records)
    chosen: dict[int, GuestKey] = {}
    for record in sorted((record for record in records if record.machine_id is not None), key=rank):
        chosen.setdefault(record.machine_id or 0, record.key)
    return [
        record
        if record.machine_id is None or chosen[record.machine_id] == record.key
        else evolve(record, machine_id=None)
        for record in records
    ]


def _is_changed(record: GuestRecord, snapshot: ServerSnapshot, unsettled: Container[int | None]) -> bool:
    """Returns whether the run changes the guest: never while an operation makes it a machine or foreign again."""
    before = snapshot.guests.get(record.key)
    if record.machine_id in unsettled or (before is not None and before.machine_id in unsettled):
        return False
    return before != record


def _moved_away(discovery: Discovery, snapshot: ServerSnapshot) -> Mapping[UUID, str]:
    """Returns machines that the cluster moved, and their members: not missing, the run of that member finds them."""
    return {
        one.marker.machine_id: one.member
        for one in discovery.on_other_members
        if one.marker.installation_id == snapshot.installation_id and one.member in snapshot.other_members
    }


def _machine_changes(
    records: Iterable[GuestRecord],
    snapshot: ServerSnapshot,
    unread: Container[int | None],
    moved_away: Container[UUID],
) -> Iterator[GuestChange]:
    by_machine = {record.machine_id: record for record in records if record.machine_id is not None}
    for machine in snapshot.machines.values():
        if not machine.settled:
            continue
        record = by_machine.get(machine.id)
        kinds: list[ChangeKind] = []
        if record is None:
            is_expected = machine.on_this_host and machine.expects_guest
            if is_expected and machine.id not in unread and machine.uuid not in moved_away:
                kinds.append(ChangeKind.MISSING)
        else:
            if not machine.on_this_server:
                kinds.append(ChangeKind.MOVED)
            if machine.awaits_guest:
                kinds.append(ChangeKind.RETURNED)
            if is_resized(record, machine):
                kinds.append(ChangeKind.RESIZED)
            if record.power_state != machine.power_state:
                kinds.append(ChangeKind.POWER)
            if has_other_boot_disk(record, machine):
                kinds.append(ChangeKind.BOOT_DISK)
            if was_booted_once(record, machine):
                kinds.append(ChangeKind.BOOTED_ONCE)
        for kind in kinds:
            yield _change(kind, machine, record)


def _reallocated(changed: Iterable[tuple[GuestRecord, GuestClaims]], snapshot: ServerSnapshot) -> Iterator[GuestChange]:
    machines = {machine.id: machine for machine in snapshot.machines.values()}
    for record, now in changed:
        id_ = record.machine_id
        if id_ is not None and now.discrete != snapshot.discrete.get(id_, NO_DISCRETE_RESOURCES):
            yield _change(ChangeKind.REALLOCATED, machines[id_], record)


def _disk_changes(
    records: Iterable[GuestRecord], storage: Iterable[StorageChange], snapshot: ServerSnapshot
) -> Iterator[GuestChange]:
    """Yields the changes of disks that get an event.

    A machine without claims on storage, such as one whose ledger was restored, gets its claims without an event.
    """
    machines = {machine.id: machine for machine in snapshot.machines.values()}
    for one in storage:
        if one.before and one.is_more_than_rounding:
            yield _change(ChangeKind.DISKS_CHANGED, machines[one.machine_id], one.guest, detail=one.text)
    for record in records:
        machine = machines.get(record.machine_id or 0)
        lost = newly_missing(record, snapshot.guests.get(record.key))
        if machine is not None and machine.settled and lost:
            yield _change(ChangeKind.VOLUME_MISSING, machine, record, detail=", ".join(lost))


def _change(kind: ChangeKind, machine: MachineSnapshot, record: GuestRecord | None, *, detail: str = "") -> GuestChange:
    return GuestChange(
        kind=kind, machine_id=machine.id, system_id=machine.system_id, hostname=machine.hostname,
        power_before=machine.power_state, guest=record, detail=detail,
    )  # fmt: skip


def _orphaned_guests(
    written: Iterable[GuestRecord], records: Iterable[GuestRecord], snapshot: ServerSnapshot
) -> Iterator[OrphanedGuest]:
    """Yields orphaned guests. Every run reports a leftover until it is gone, others only at first."""
    changed = {record.key for record in written}
    for record in records:
        if record.marker_installation != snapshot.installation_id or record.marker_machine is None:
            continue
        kind = None
        if record.marker_machine in snapshot.machines:
            if record.machine_id is None and record.key in changed:
                kind = ChangeKind.DUPLICATE_MARKER
        elif (tombstone := snapshot.tombstones.get(record.marker_machine)) is not None:
            if is_leftover(tombstone, record.guest_key, reappeared=_has_reappeared(record, snapshot)):
                kind = ChangeKind.TOMBSTONE
            elif record.key in changed and _is_newly_marked(record, snapshot):
                kind = ChangeKind.RESTORED
        elif record.key in changed and _is_newly_marked(record, snapshot):
            is_copy = record.marker_machine in snapshot.machines_elsewhere
            kind = ChangeKind.DUPLICATE_MARKER if is_copy else ChangeKind.UNKNOWN_MARKER
        if kind is not None:
            yield OrphanedGuest(
                kind=kind, machine_uuid=record.marker_machine, guest_name=record.name, guest_key=record.guest_key
            )


def _has_reappeared(record: GuestRecord, snapshot: ServerSnapshot) -> bool:
    """Returns whether a run did not list the guest although no call could create it any more: it may be a backup."""
    if _is_newly_marked(record, snapshot):
        return record.marker_machine in snapshot.old_tombstones
    return record.key in snapshot.reappeared


def _is_newly_marked(record: GuestRecord, snapshot: ServerSnapshot) -> bool:
    before = snapshot.guests.get(record.key)
    return before is None or before.marker_machine != record.marker_machine
