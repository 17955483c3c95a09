"""What a discovery changes: compares what was found with what is known. Pure; nothing found anew means no change.

Foreign guests become rows with claims of their own. Guests that carry our mark belong to their machine, which holds
the claims. Machines that an operation acts on, or that changed after the discovery began, are left to that operation.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from enum import StrEnum
from uuid import UUID

from attrs import evolve, field, frozen

from common.discovery import Discovery
from common.values import Guest, HostFacts, Mark, StoragePool
from regiond.hosts.counting import news_of_holdings, news_of_totals
from regiond.hosts.holdings import Key, Resource, stock_of
from regiond.hosts.known import GuestRow, Known, is_resized, row_of
from regiond.hosts.untold import with_untold
from regiond.hosts.unused import NOTHING_NEW, VolumeChanges, news_of_volumes
from regiond.ledger.model import NOTHING_COUNTED, Held
from regiond.machines.life import NEXT, Event, MachineState


class Finding(StrEnum):
    MISSING = "machine_missing"
    RETURNED = "machine_returned"
    MOVED = "machine_moved"  # by its cluster, to another member
    POWER = "machine_power_changed"
    RESIZED = "machine_resized"
    RECOUNTED = "machine_recounted"  # its pins, huge pages or virtual functions are others
    LEFTOVER = "leftover_found"
    UNKNOWN_MARK = "unknown_marked_guest_found"
    SECOND_MARK = "second_marked_guest_found"  # a copy of a machine's guest took the mark along


@frozen(kw_only=True)
class MachineFinding:
    finding: Finding
    machine_id: int
    hostname: str
    guest: GuestRow | None = None


@frozen(kw_only=True)
class Leftover:
    """A guest with our mark that is no machine's: given up (it may be removed), or unknown or a copy (it may not)."""

    finding: Finding
    machine_uuid: UUID
    guest_name: str


@frozen(kw_only=True)
class Changes:
    facts: HostFacts | None = None
    pools_written: tuple[StoragePool, ...] = ()
    pools_missing: tuple[str, ...] = ()
    guests_written: tuple[GuestRow, ...] = ()
    guests_gone: tuple[Key, ...] = ()
    totals_written: Mapping[Resource, int] = field(factory=dict)  # of counted resources; 0: it is there no more
    held: tuple[tuple[GuestRow, Held], ...] = ()  # what machines and foreign guests hold from now on, but for storage
    machines: tuple[MachineFinding, ...] = ()
    leftovers: tuple[Leftover, ...] = field(default=())
    volumes: VolumeChanges = NOTHING_NEW

    @property
    def none(self) -> bool:
        return self == Changes()


def compare(found: Discovery, known: Known) -> Changes:
    """What has to be written. Pools that are missing already, and machines known to be missing, are no news."""
    pools = {pool.pool_id: pool for pool in found.facts.storage_pools}
    unread = {problem.subject for problem in found.problems}  # it is there, and says too little of itself right now
    rows = _once_each([row for guest in found.guests for row in [_row(guest, known)] if row is not None], known)
    rows = [_with_known_disks(row, known) if row.name in unread else row for row in rows]
    untold = {(guest.project, guest.guest_id) for guest in found.guests if not guest.fully_told}
    rows = [with_untold(row, known) if row.key in untold else row for row in rows]
    seen = {row.key: row for row in rows}
    left_alone = {machine.id for machine in known.machines.values() if not machine.settled}
    written = tuple(row for row in rows if _is_news(row, known, left_alone))
    not_found = {key: row for key, row in known.guests.items() if key not in seen and row.name not in unread}
    kept = {row.machine_id for key, row in known.guests.items() if key not in seen and key not in not_found}
    gone = [key for key, row in not_found.items() if row.machine_id not in left_alone]
    stock = stock_of(found.facts.numa_nodes, found.facts.network_cards)
    is_other = _kept_facts(found.facts) != known.facts or stock.huge_memory_mib != known.huge_memory_mib
    held = news_of_holdings(rows, {row.key for row in written}, stock, known, left_alone, gone)
    return Changes(
        facts=_kept_facts(found.facts) if is_other else None,
        pools_written=tuple(pool for key, pool in pools.items() if known.storage_pools.get(key) != pool),
        pools_missing=tuple(sorted(set(known.storage_pools) - set(pools))),
        guests_written=written,
        guests_gone=tuple(sorted(gone)),
        totals_written=news_of_totals(stock, known),
        held=held,
        machines=(*_machine_findings(rows, known, kept, _elsewhere(found, known)), *_recounted(held, known)),
        leftovers=tuple(_leftovers(written, rows, known)),
        volumes=news_of_volumes(found, known.unused, known.installation_id),
    )


def _kept_facts(facts: HostFacts) -> HostFacts:
    """What is the server's own, whichever of its hosts was looked at."""
    return evolve(
        facts, storage_pools=(), networks=(), profiles=(), tags=(), extensions=(), cluster_member=None,
        cluster_members=(),
    )  # fmt: skip


def _is_news(row: GuestRow, known: Known, left_alone: Container[int | None]) -> bool:
    """A guest that is just becoming a machine, or just was one, is left to the operation that sees to it."""
    before = known.guests.get(row.key)
    if row.machine_id in left_alone or (before is not None and before.machine_id in left_alone):
        return False
    return before != row


def _row(guest: Guest, known: Known) -> GuestRow | None:
    guest = evolve(guest, mark=_mark(guest, known))
    mark = guest.mark if guest.mark and guest.mark.installation_id == known.installation_id else None
    if mark is not None and mark.machine_id in known.given_up_since:
        return None  # it went while we were looking
    machine = known.machines.get(mark.machine_id) if mark is not None else None
    return row_of(guest, machine.id if machine else None)


def _mark(guest: Guest, known: Known) -> Mark | None:
    """Where listings do not tell the mark of an adopted guest, it is known by its id, which is the machine's."""
    if guest.mark is not None or known.marks_told:
        return guest.mark
    try:
        machine = known.machines.get(UUID(guest.guest_id))
    except ValueError:
        return None
    if machine is None or not machine.adopted:
        return None
    return Mark(installation_id=known.installation_id, machine_id=machine.uuid)


def _with_known_disks(row: GuestRow, known: Known) -> GuestRow:
    """Disks that cannot be measured right now are as large as they were."""
    before = known.guests.get(row.key)
    return row if before is None else evolve(row, disks=before.disks)


def _once_each(rows: Iterable[GuestRow], known: Known) -> list[GuestRow]:
    """One guest is a machine: the one known as it, else the one of its name. Others with its mark are foreign."""
    hostnames = {machine.id: machine.hostname for machine in known.machines.values()}

    def rank(row: GuestRow) -> tuple[bool, bool, Key]:
        before = known.guests.get(row.key)
        known_as_it = before is not None and before.machine_id == row.machine_id
        return not known_as_it, row.name != hostnames.get(row.machine_id or 0), row.key

    rows = list(rows)
    chosen: dict[int, Key] = {}
    for row in sorted((row for row in rows if row.machine_id is not None), key=rank):
        chosen.setdefault(row.machine_id or 0, row.key)
    return [
        row if row.machine_id is None or chosen[row.machine_id] == row.key else evolve(row, machine_id=None)
        for row in rows
    ]


def _elsewhere(found: Discovery, known: Known) -> frozenset[UUID]:
    """Machines that a look at another member will find there: moved, so not missing."""
    return frozenset(
        one.mark.machine_id
        for one in found.elsewhere
        if one.mark.installation_id == known.installation_id and one.member in known.fellow_members
    )


def _machine_findings(
    rows: Iterable[GuestRow], known: Known, kept: Container[int | None], elsewhere: Container[UUID]
) -> Iterable[MachineFinding]:
    by_machine = {row.machine_id: row for row in rows if row.machine_id is not None}
    for machine in known.machines.values():
        if not machine.settled:
            continue
        row = by_machine.get(machine.id)
        if row is None:
            expected = machine.on_this_host and (MachineState(machine.state), Event.LOST) in NEXT
            if expected and machine.id not in kept and machine.uuid not in elsewhere:
                yield MachineFinding(finding=Finding.MISSING, machine_id=machine.id, hostname=machine.hostname)
            continue
        if not machine.on_this_server:
            yield MachineFinding(finding=Finding.MOVED, machine_id=machine.id, hostname=machine.hostname, guest=row)
        if (MachineState(machine.state), Event.FOUND) in NEXT:
            yield MachineFinding(finding=Finding.RETURNED, machine_id=machine.id, hostname=machine.hostname, guest=row)
        if is_resized(row, machine):
            yield MachineFinding(finding=Finding.RESIZED, machine_id=machine.id, hostname=machine.hostname, guest=row)
        if row.power_state != machine.power_state:
            yield MachineFinding(finding=Finding.POWER, machine_id=machine.id, hostname=machine.hostname, guest=row)


def _recounted(held: Iterable[tuple[GuestRow, Held]], known: Known) -> Iterable[MachineFinding]:
    hostnames = {machine.id: machine.hostname for machine in known.machines.values()}
    for row, now in held:
        if row.machine_id is not None and now.counted != known.counted.get(row.machine_id, NOTHING_COUNTED):
            yield MachineFinding(
                finding=Finding.RECOUNTED, machine_id=row.machine_id, hostname=hostnames[row.machine_id], guest=row
            )


def _leftovers(written: Iterable[GuestRow], rows: Iterable[GuestRow], known: Known) -> Iterable[Leftover]:
    """A given-up guest is told at every look until it is gone; an unknown one when it is first seen."""
    news = {row.key for row in written}
    for row in rows:
        if row.marked_installation != known.installation_id or row.marked_machine is None:
            continue
        if row.marked_machine in known.machines:
            if row.machine_id is None and row.key in news:
                yield Leftover(finding=Finding.SECOND_MARK, machine_uuid=row.marked_machine, guest_name=row.name)
            continue
        if row.marked_machine in known.given_up:
            yield Leftover(finding=Finding.LEFTOVER, machine_uuid=row.marked_machine, guest_name=row.name)
        elif row.key in news and _is_newly_marked(row, known):
            copied = row.marked_machine in known.elsewhere
            finding = Finding.SECOND_MARK if copied else Finding.UNKNOWN_MARK
            yield Leftover(finding=finding, machine_uuid=row.marked_machine, guest_name=row.name)


def _is_newly_marked(row: GuestRow, known: Known) -> bool:
    before = known.guests.get(row.key)
    return before is None or before.marked_machine != row.marked_machine
