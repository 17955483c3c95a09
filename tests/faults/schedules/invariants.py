"""The invariants of design §4, judged on what database and hosts say after a step. Pure but for reading both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from attrs import field, frozen

from regiond.db.pool import Database
from regiond.reconciler.model import Difference, Kind
from regiond.reconciler.service import differences
from regiond.reconciler.store import see_one_moment
from tests.faults.schedules.hypervisors import HeldGuest, HeldVolume, Holdings

_MACHINES = """
    select m.uuid, m.id, m.system_id, m.hostname, m.state, m.owner_id is not null as owned, m.cores, m.memory_mib,
           h.name as host, m.adopted,
           array(select d.volume from machine_disk d where d.machine_id = m.id) as volumes,
           exists (select from operation o where o.machine_id = m.id
                      and o.state in ('queued', 'running', 'waiting', 'undoing')) as busy
      from machine m join vm_host h on h.id = m.host_id order by m.id
"""
_OPEN = """
    select id, kind, state, host_name, machine_id, cancel_requested,
           coalesce(request #>> '{spec,mark,machine_id}', request #>> '{guest,mark,machine_id}',
                    request #>> '{mark,machine_id}') as machine
      from operation where state in ('queued', 'running', 'waiting', 'undoing') order by id
"""
_FAULTS = """
    select what from audit
    union all
    select format('%s operations act on machine %s', count(*), machine_id) from operation
     where machine_id is not null and state in ('queued', 'running', 'waiting', 'undoing')
     group by machine_id having count(*) > 1
    union all
    select format('a bug ended operation %s (%s): %s', id, kind, error_message) from operation
     where error_code = 'internal'
"""
_KNOWN = """
    select 'given up' as why, machine_uuid::text as machine from tombstone
    union all select 'forgotten', uuid::text from machine_forgotten
    union all
    select distinct kind, coalesce(request #>> '{mark,machine_id}', request #>> '{spec,mark,machine_id}') from operation
     where kind in ('adopt', 'forget')
"""
# What happens to machines and hosts from outside, or is under way, is told as a difference and is no fault.
EXPLAINED = {
    Kind.LEFTOVER_GUEST, Kind.UNKNOWN_GUEST, Kind.SECOND_GUEST, Kind.GUEST_ELSEWHERE, Kind.MACHINE_MISSING,
    Kind.UNUSED_VOLUME,
    Kind.LEASE_LAPSED, Kind.OPERATION_STUCK,
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
class Seen:
    """One moment of ledger and hosts."""

    machines: Mapping[UUID, MachineRow]
    open: tuple[OpenOperation, ...]
    hosts: Mapping[str, Holdings]
    host_ids: Mapping[str, int]  # by name, those that are VM hosts now
    given_up: frozenset[UUID]
    forgotten: frozenset[UUID]
    adopting: frozenset[UUID]  # machines that an adoption was ever begun for
    disowned: frozenset[UUID]  # and those that were forgotten, with their guests let go
    faults: tuple[str, ...]
    differences: tuple[Difference, ...] = field(repr=False)

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


async def see(database: Database, hosts: Mapping[str, Holdings]) -> Seen:
    async with database.transaction() as db:
        await see_one_moment(db)
        found = await differences(db)
        faults = [row["what"] for row in await db.fetch(_FAULTS)]
        faults += [f"{one.kind}: {one.message}" for one in found if one.kind not in EXPLAINED]
        known: defaultdict[str, set[UUID]] = defaultdict(set)
        for row in await db.fetch(_KNOWN):
            known[row["why"]].add(UUID(row["machine"]))
        rows = [MachineRow(**{**row, "volumes": tuple(row["volumes"])}) for row in await db.fetch(_MACHINES)]
        return Seen(
            machines={row.uuid: row for row in rows},
            open=tuple(_open(row) for row in await db.fetch(_OPEN)),
            hosts=hosts,
            host_ids={row["name"]: row["id"] for row in await db.fetch("select id, name from vm_host order by id")},
            given_up=frozenset(known["given up"]),
            forgotten=frozenset(known["forgotten"]),
            adopting=frozenset(known["adopt"]),
            disowned=frozenset(known["forget"]),
            faults=tuple(faults),
            differences=tuple(found),
        )


def after_step(
    before: Seen, now: Seen, *, straggled: set[UUID], copied: set[UUID], touched: frozenset[str]
) -> Iterator[str]:
    """What is wrong now. Foreign guests with an id in `touched` were changed by hand in this step.

    `straggled` are machines on which something acted that nobody waited for, `copied` those of which somebody made a
    second guest.
    """
    yield from now.faults
    yield from _unheard_of(now, copied)
    yield from _foreign_changed(before, now, touched)
    yield from _outlived(before, now, straggled | copied)
    yield from _loose_volumes(now, straggled | copied)


def absent(now: Seen) -> set[UUID]:
    """Machines that are made and have no guest with their mark on their host, whoever took it."""
    there = {(host, machine) for host, _, machine in now.marked()}
    return {
        row.uuid
        for row in now.machines.values()
        if row.state not in ("composing", "adopting") and (row.host, row.uuid) not in there
    }


def missed(now: Seen, ever_absent: set[UUID]) -> Iterator[str]:
    """Invariant 7 the other way round: what was there all the time is not missing."""
    for row in now.machines.values():
        if row.state == "missing" and row.uuid not in ever_absent:
            yield f"{row.hostname} on {row.host} is missing, and its guest was there all the time"


def given_up(before: Seen, now: Seen) -> set[UUID]:
    """Machines that ended in this step, and neither with their host nor because a person let their guest go."""
    return before.machines.keys() - now.machines.keys() - now.forgotten - now.adopting - now.disowned


def at_rest(now: Seen, *, copied: set[UUID], over: set[UUID]) -> Iterator[str]:
    """When nothing is under way any more, and every host was looked at since; `over` were ever given up."""
    yield from now.faults
    yield from (f"operation {one.id} ({one.kind}) is still {one.state}" for one in now.open)
    there = {machine for _, _, machine in now.marked()}
    for host, guest, machine in now.marked():
        row = now.machines.get(machine)
        if machine in over and host in now.host_ids:
            yield f"{guest.name} on {host} carries the mark of {machine}, which was given up"
        if (row is not None and row.host == host) or machine in now.forgotten | copied:
            continue
        if machine in now.given_up or machine not in now.adopting | now.disowned:
            yield f"{guest.name} on {host} carries the mark of {machine}, which is no machine there"
    for row in now.machines.values():
        told = row.state == "broken" or (row.uuid in there) != (row.state == "missing")  # what is broken stays so
        if row.uuid not in copied and not told:
            found = "there" if row.uuid in there else "not there"
            yield f"{row.hostname} on {row.host} is {row.state}, and its guest is {found}"
        if row.state not in ("ready", "allocated", "missing", "broken", "failed"):
            yield f"{row.hostname} is {row.state}, and nothing is under way"
    kept = {volume for row in now.machines.values() for volume in row.volumes}
    for host, volume in now.volumes():
        left = now.forgotten | now.disowned | copied  # a person let the machine go: what is left of it is theirs
        if volume.machine is None or volume.guest_id is not None or volume.machine in left:
            continue
        if volume.name not in kept:
            yield f"volume {volume.name} on {host} was made for {volume.machine}, and nobody uses it"


def _unheard_of(now: Seen, copied: set[UUID]) -> Iterator[str]:
    """Invariant 3."""
    known = now.machines.keys() | now.given_up | now.forgotten | now.adopting | now.disowned | copied
    known |= {one.machine for one in now.open if one.machine is not None}
    for host, guest, machine in now.marked():
        if machine not in known:
            yield f"{guest.name} on {host} carries the mark of {machine}, which nobody has heard of"
        row = now.machines.get(machine)
        if row is not None and row.host != host and machine not in copied:
            yield f"{guest.name} is on {host}, and its machine on {row.host}"


def _foreign_changed(before: Seen, now: Seen, touched: frozenset[str]) -> Iterator[str]:
    """Invariant 6."""
    for host, was in before.guests():
        if was.machine is not None or was.guest_id in touched or host not in now.hosts:
            continue
        is_ = now.hosts[host].guests.get(was.guest_id)
        if is_ is None:
            yield f"the foreign guest {was.name} on {host} is gone"
        elif is_.body != was.body:
            yield f"the foreign guest {was.name} on {host} was {was.body} and is {is_.body}"
        elif is_.machine is not None and is_.machine not in now.adopting | now.disowned:  # or it was to be let go
            yield f"the foreign guest {was.name} on {host} carries our mark, and nobody adopted it"
    for host, held in before.volumes():
        foreign = held.machine is None and held.guest_id not in touched
        if foreign and host in now.hosts and (held.pool, held.name) not in now.hosts[host].volumes:
            yield f"volume {held.name} on {host} was nobody's of ours, and is gone"


def _outlived(before: Seen, now: Seen, excused: set[UUID]) -> Iterator[str]:
    """Invariant 5."""
    going = {one.machine for one in now.open if one.kind == "clean_up"}
    there = {machine for _, _, machine in now.marked()}
    for uuid in before.machines.keys() - now.machines.keys():
        if uuid in there and uuid not in excused | now.forgotten | now.adopting | going:
            yield f"{before.machines[uuid].hostname} is no machine any more, and its guest is there"


def _loose_volumes(now: Seen, excused: set[UUID]) -> Iterator[str]:
    known = now.machines.keys() | now.forgotten | now.disowned | excused | {one.machine for one in now.open}
    for host, volume in now.volumes():
        if volume.machine is not None and volume.guest_id is None and volume.machine not in known:
            yield f"volume {volume.name} on {host} was made for {volume.machine}, which is gone"


def _open(row: Any) -> OpenOperation:
    return OpenOperation(**{**row, "machine": UUID(row["machine"]) if row["machine"] else None})
