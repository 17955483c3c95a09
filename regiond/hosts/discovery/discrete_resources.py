"""Finds the totals and claims of discrete resources that a discovery run changes. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable

from regiond.hosts.discovery.allocations import ClaimHolder, GuestKey, Inventory, ResourceKey, allocations, claim_holder
from regiond.hosts.discovery.snapshot import ServerSnapshot, is_resized
from regiond.hosts.guest_record import GuestRecord
from regiond.ledger.model import NO_DISCRETE_RESOURCES, GuestClaims


def total_changes(inventory: Inventory, snapshot: ServerSnapshot) -> dict[ResourceKey, int]:
    """Returns the totals to write; 0 for a resource that the server no longer has."""
    before = snapshot.discrete_totals
    deleted = {resource: 0 for resource, total in before.items() if total and resource not in inventory.totals}
    return {resource: total for resource, total in inventory.totals.items() if before.get(resource) != total} | deleted


def allocation_changes(
    records: Iterable[GuestRecord],
    written: Container[GuestKey],
    inventory: Inventory,
    snapshot: ServerSnapshot,
    unsettled: Container[int | None],
    deleted: Iterable[GuestKey],
) -> tuple[tuple[GuestRecord, GuestClaims], ...]:
    """Returns the allocations to write, without storage.

    These are the allocations of every `written` foreign guest and of every guest whose discrete resources differ from
    the ledger's.

    Claims of a machine whose size the driver could not read do not change. Guests of `unsettled` machines are skipped.
    """
    machines = {machine.id: machine for machine in snapshot.machines.values()}
    records = [record for record in records if not _is_unsettled(record, snapshot, unsettled)]
    here = {record.machine_id for record in records}
    elsewhere = {one.id for one in machines.values() if not one.on_this_server and one.id not in here}
    ended: set[ClaimHolder] = {
        *deleted,
        *(record.key for record in records if record.machine_id is not None),
        *elsewhere,
    }
    before = {holder: counted for holder, counted in snapshot.discrete.items() if holder not in ended}
    records = [record for record in records if _has_known_size(record)]
    now = allocations(records, inventory, before)
    return tuple(
        (record, now[record.key])
        for record in sorted(records, key=lambda record: record.key)
        if (record.key in written if record.machine_id is None else is_resized(record, machines[record.machine_id]))
        or now[record.key].discrete != before.get(claim_holder(record), NO_DISCRETE_RESOURCES)
    )


def _has_known_size(record: GuestRecord) -> bool:
    return record.machine_id is None or bool(record.cores and record.memory_mib)


def _is_unsettled(record: GuestRecord, snapshot: ServerSnapshot, unsettled: Container[int | None]) -> bool:
    before = snapshot.guests.get(record.key)
    return record.machine_id in unsettled or (before is not None and before.machine_id in unsettled)
