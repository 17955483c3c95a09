"""Checks the ledger's invariants on a snapshot of database and hosts. Pure except for taking the snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from attrs import field, frozen

from regiond.db.pool import Database
from regiond.reconciler.detection import find_discrepancies
from regiond.reconciler.model import Discrepancy, DiscrepancyKind, RepairPolicy
from regiond.reconciler.store import use_snapshot
from tests.faults.schedules.fleet_invariants import FLEET_FAULTS, fleet_after_step
from tests.faults.schedules.hypervisors import HeldGuest, HeldVolume, Holdings

_MACHINES = """
    select m.uuid, m.id, m.system_id, m.hostname, m.state, m.owner_id is not null as owned, m.cores, m.memory_mib,
           h.name as host, m.adopted, m.locked,
           array(select d.volume from machine_disk d where d.machine_id = m.id) as volumes,
           exists (select from operation o where o.machine_id = m.id
                      and o.is_open) as busy
      from machine m join vm_host h on h.id = m.host_id order by m.id
"""
_MAINTENANCE = "select name, maintenance_since from vm_host where maintenance_since is not null"
_OPEN = """
    select id, kind, state, host_name, machine_id, cancel_requested,
           coalesce(request #>> '{spec,marker,machine_id}', request #>> '{guest,marker,machine_id}',
                    request #>> '{marker,machine_id}') as machine
      from operation where is_open order by id
"""
_FAULTS = """
    select what from audit
    union all
    select format('%s operations act on machine %s', count(*), machine_id) from operation
     where machine_id is not null and is_open
     group by machine_id having count(*) > 1
    union all
    select format('operation %s is open, and operation %s, which opened it, has ended', o.id, p.id)
      from operation o join operation p on p.id = o.parent_id where o.is_open and not p.is_open
    union all
    select format('a bug ended operation %s (%s): %s', id, kind, error_message) from operation
     where error_code = 'internal'
"""
_KNOWN = """
    select 'tombstoned' as why, machine_uuid::text as machine from tombstone
    union all select 'detached', uuid::text from detached_machine
    union all
    select distinct kind, coalesce(request #>> '{marker,machine_id}', request #>> '{spec,marker,machine_id}')
      from operation where kind in ('adopt', 'forget')
"""
# Expected discrepancies: changes by administrators, and operations in progress.
EXPECTED = {
    DiscrepancyKind.LEFTOVER_GUEST, DiscrepancyKind.UNKNOWN_GUEST, DiscrepancyKind.DUPLICATE_GUEST,
    DiscrepancyKind.GUEST_ON_OTHER_HOST, DiscrepancyKind.MACHINE_MISSING, DiscrepancyKind.ORPHANED_VOLUME,
    DiscrepancyKind.LEASE_EXPIRED, DiscrepancyKind.OPERATION_STUCK, DiscrepancyKind.WRONG_AUTOSTART,
}  # fmt: skip


@frozen(kw_only=True)
class MachineRow:
    uuid: UUID
    id: int
    system_id: str
    hostname: str
    state: str
    owned: bool
    cores: int
    memory_mib: int
    host: str
    adopted: bool
    locked: bool
    volumes: tuple[str, ...]
    busy: bool


@frozen(kw_only=True)
class OpenOperation:
    id: int
    kind: str
    state: str
    host_name: str | None
    machine_id: int | None
    cancel_requested: bool
    machine: UUID | None


@frozen(kw_only=True)
class Snapshot:
    """Ledger and hosts after a step."""

    machines: Mapping[UUID, MachineRow]
    open: tuple[OpenOperation, ...]
    hosts: Mapping[str, Holdings]
    host_ids: Mapping[str, int]  # by name; only current VM hosts
    maintenance: Mapping[str, datetime]  # since when, by host
    tombstoned: frozenset[UUID]
    detached: frozenset[UUID]
    adopting: frozenset[UUID]  # machines of all adoptions that were ever requested
    forgotten: frozenset[UUID]  # machines that were ever to be forgotten
    faults: tuple[str, ...]
    discrepancies: tuple[Discrepancy, ...] = field(repr=False)

    def guests(self) -> Iterator[tuple[str, HeldGuest]]:
        for host, held in self.hosts.items():
            for guest in held.guests.values():
                yield host, guest

    def volumes(self) -> Iterator[tuple[str, HeldVolume]]:
        for host, held in self.hosts.items():
            for volume in held.volumes.values():
                yield host, volume

    def marked(self) -> Iterator[tuple[str, HeldGuest, UUID]]:
        for host, guest in self.guests():
            if guest.machine is not None:
                yield host, guest, guest.machine


async def take_snapshot(database: Database, hosts: Mapping[str, Holdings]) -> Snapshot:
    async with database.transaction() as db:
        await use_snapshot(db)
        found = await find_discrepancies(db)
        faults = [row[0] for statement in (_FAULTS, FLEET_FAULTS) for row in await db.fetch(statement)]
        faults += [f"{one.kind}: {one.message}" for one in found if one.kind not in EXPECTED]
        known: defaultdict[str, set[UUID]] = defaultdict(set)
        for row in await db.fetch(_KNOWN):
            known[row["why"]].add(UUID(row["machine"]))
        rows = [MachineRow(**{**row, "volumes": tuple(row["volumes"])}) for row in await db.fetch(_MACHINES)]
        return Snapshot(
            machines={row.uuid: row for row in rows},
            open=tuple(_open(row) for row in await db.fetch(_OPEN)),
            hosts=hosts,
            host_ids={row["name"]: row["id"] for row in await db.fetch("select id, name from vm_host order by id")},
            maintenance={row["name"]: row["maintenance_since"] for row in await db.fetch(_MAINTENANCE)},
            tombstoned=frozenset(known["tombstoned"]),
            detached=frozenset(known["detached"]),
            adopting=frozenset(known["adopt"]),
            forgotten=frozenset(known["forget"]),
            faults=tuple(faults),
            discrepancies=tuple(found),
        )


def after_step(
    before: Snapshot, now: Snapshot, *, changed_by_stale_calls: set[UUID], copied: set[UUID], touched: frozenset[str]
) -> Iterator[str]:
    """Yields violations after a step.

    `touched` are ids of guests that an administrator changed in this step, `copied` machines with a copied guest.
    """
    yield from now.faults
    yield from _unknown_markers(now, copied)
    yield from _foreign_changed(before, now, touched)
    yield from _guests_of_deleted_machines(before, now, changed_by_stale_calls | copied)
    yield from _volumes_of_deleted_machines(now, changed_by_stale_calls | copied)
    yield from fleet_after_step(before, now)


def absent(now: Snapshot) -> set[UUID]:
    """Machines without a guest with their marker on their host, except those in creation."""
    there = {(host, machine) for host, _, machine in now.marked()}
    return {
        row.uuid
        for row in now.machines.values()
        if row.state not in ("composing", "adopting") and (row.host, row.uuid) not in there
    }


def wrongly_missing(now: Snapshot, ever_absent: set[UUID]) -> Iterator[str]:
    """The reverse of invariant 7: a machine whose guest was always there is not missing."""
    for row in now.machines.values():
        if row.state == "missing" and row.uuid not in ever_absent:
            yield f"{row.hostname} on {row.host} is missing, but its guest was always there"


def deleted_machines(before: Snapshot, now: Snapshot) -> set[UUID]:
    """Machines deleted in this step: neither detached, adopted nor forgotten."""
    return before.machines.keys() - now.machines.keys() - now.detached - now.adopting - now.forgotten


def at_rest(
    now: Snapshot, *, changed_by_stale_calls: set[UUID], copied: set[UUID], deleted: set[UUID]
) -> Iterator[str]:
    """Yields violations when no operation is open and all hosts are refreshed; `deleted` are machines ever deleted.

    A copy of a deleted machine's guest may be restored: it stays, and its removal is offered. What a stale call made on
    a host that had been removed goes by its tombstone once the host is added again: `test_known_schedules.py`.
    """
    waiting = changed_by_stale_calls & now.tombstoned
    yield from now.faults
    yield from (f"operation {one.id} ({one.kind}) is still {one.state}" for one in now.open)
    there = {machine for _, _, machine in now.marked()}
    for host, guest, machine in now.marked():
        row = now.machines.get(machine)
        if machine in deleted and host in now.host_ids and not (machine in copied and _is_offered(now, host, guest)):
            yield f"{guest.name} on {host} carries the marker of {machine}, which was deleted"
        if (row is not None and row.host == host) or machine in now.detached | copied:
            continue
        if host not in now.host_ids and machine in waiting:
            continue
        if machine in now.tombstoned or machine not in now.adopting | now.forgotten:
            yield f"{guest.name} on {host} carries the marker of {machine}, which has no machine there"
    for row in now.machines.values():
        consistent = row.state == "broken" or (row.uuid in there) != (
            row.state == "missing"
        )  # broken is set by users only
        if row.uuid not in copied and not consistent:
            found = "there" if row.uuid in there else "not there"
            yield f"{row.hostname} on {row.host} is {row.state}, and its guest is {found}"
        if row.state not in ("ready", "allocated", "deployed", "missing", "broken", "failed"):
            yield f"{row.hostname} is {row.state}, and no operation is open"
    in_use = {volume for row in now.machines.values() for volume in row.volumes}
    for host, volume in now.volumes():
        left = now.detached | now.forgotten | copied  # their volumes belong to the administrator now
        if volume.machine is None or volume.guest_id is not None or volume.machine in left:
            continue
        if host not in now.host_ids and volume.machine in waiting:
            continue
        if volume.name not in in_use:
            yield f"volume {volume.name} on {host} was made for {volume.machine}, and no guest uses it"


def _is_offered(now: Snapshot, host: str, guest: HeldGuest) -> bool:
    """Returns whether a person may approve the removal of the guest, which nothing else removes."""
    return any(
        (one.kind, one.repair_policy) == (DiscrepancyKind.LEFTOVER_GUEST, RepairPolicy.APPROVAL)
        and (one.host_name, one.name) == (host, guest.name)
        for one in now.discrepancies
    )


def _unknown_markers(now: Snapshot, copied: set[UUID]) -> Iterator[str]:
    """Invariant 3."""
    known = now.machines.keys() | now.tombstoned | now.detached | now.adopting | now.forgotten | copied
    known |= {one.machine for one in now.open if one.machine is not None}
    for host, guest, machine in now.marked():
        if machine not in known:
            yield f"{guest.name} on {host} carries the marker of {machine}, which is unknown"
        row = now.machines.get(machine)
        if row is not None and row.host != host and machine not in copied:
            yield f"{guest.name} is on {host}, and its machine on {row.host}"


def _foreign_changed(before: Snapshot, now: Snapshot, touched: frozenset[str]) -> Iterator[str]:
    """Invariant 6."""
    for host, was in before.guests():
        if was.machine is not None or was.guest_id in touched or host not in now.hosts:
            continue
        is_ = now.hosts[host].guests.get(was.guest_id)
        if is_ is None:
            yield f"the foreign guest {was.name} on {host} is gone"
        elif is_.body != was.body:
            yield f"the foreign guest {was.name} on {host} was {was.body} and is {is_.body}"
        elif (
            is_.machine is not None and is_.machine not in now.adopting | now.forgotten
        ):  # forgotten guests may keep it for a while
            yield f"the foreign guest {was.name} on {host} carries our marker, and was not adopted"
    for host, held in before.volumes():
        foreign = held.machine is None and held.guest_id not in touched
        if foreign and host in now.hosts and (held.pool, held.name) not in now.hosts[host].volumes:
            yield f"volume {held.name} on {host} was foreign, and is gone"


def _guests_of_deleted_machines(before: Snapshot, now: Snapshot, excused: set[UUID]) -> Iterator[str]:
    """Invariant 5."""
    going = {one.machine for one in now.open if one.kind == "clean_up"}
    there = {machine for _, _, machine in now.marked()}
    for uuid in before.machines.keys() - now.machines.keys():
        if uuid in there and uuid not in excused | now.detached | now.adopting | going:
            yield f"{before.machines[uuid].hostname} was deleted, and its guest still exists"


def _volumes_of_deleted_machines(now: Snapshot, excused: set[UUID]) -> Iterator[str]:
    known = now.machines.keys() | now.detached | now.forgotten | excused | {one.machine for one in now.open}
    for host, volume in now.volumes():
        if volume.machine is not None and volume.guest_id is None and volume.machine not in known:
            yield f"volume {volume.name} on {host} was made for {volume.machine}, which is gone"


def _open(row: Any) -> OpenOperation:
    return OpenOperation(**{**row, "machine": UUID(row["machine"]) if row["machine"] else None})
