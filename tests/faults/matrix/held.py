"""What simulated hosts really hold, and how that compares with the rows of the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from tests.faults.matrix.inn import Inn

_GUESTS = "select name, machine_id from guest where machine_id is not null"
# A forgotten machine's guest takes its volumes along; an adopted one's have no mark.
_MARKED_VOLUMES = """
    select volume.name from volume
     where volume.machine_id is not null and not exists (
           select from_disk.volume from disk as from_disk join guest using (guest_id)
            where from_disk.pool = volume.pool and from_disk.volume = volume.name and guest.machine_id is null)
"""
_FOREIGN = """
    select guest.name, guest.*, disk.*, volume.*, nic.* from guest left join disk using (guest_id)
      left join volume on volume.pool = disk.pool and volume.name = disk.volume left join nic using (guest_id)
     where guest.machine_id is null order by guest.name, disk.position, nic.position
"""
_MACHINES = """
    select h.name as host, m.uuid::text, m.hostname,
           array(select d.volume from machine_disk d where d.machine_id = m.id order by d.volume) as volumes
      from machine m join vm_host h on h.id = m.host_id
"""

Row = tuple[Any, ...]


@contextmanager
def store_of(inn: Inn, host: str) -> Iterator[sqlite3.Connection]:
    """The host's own file, to look at or to change as its administrator would."""
    with closing(sqlite3.connect(inn.folder / "simulated" / f"{host}.sqlite", timeout=10)) as store, store:
        yield store


def rows(inn: Inn, host: str, statement: str, *values: object) -> list[Row]:
    with store_of(inn, host) as store:
        return store.execute(statement, values).fetchall()


@frozen(kw_only=True)
class Foreign:
    """Everything of guests that are not ours, their disks and cards too, by host."""

    of: dict[str, list[Row]]

    def differs(self, now: Foreign, *, but: Collection[str] = ()) -> Iterator[str]:
        """Since then; the guests named in `but` may."""
        for host, found in self.of.items():
            before, after = ([row for row in rows if row[0] not in but] for rows in (found, now.of.get(host, [])))
            if before != after:
                yield f"{host}: foreign guests were touched: {before} became {after}"


def foreign(inn: Inn) -> Foreign:
    return Foreign(of={host: rows(inn, host, _FOREIGN) for host in inn.hosts})


def changes(inn: Inn, host: str, guest: str, since: int = 0) -> list[tuple[str, str | None]]:
    """What happened to a guest of that name there, in order: the event and the power, if it was about that. Names that
    the region chooses come again: `since` is `newest_changes` of a moment."""
    ask = "select event, power from change where guest_name = ? and number > ? order by number"
    return rows(inn, host, ask, guest, since)


def newest_changes(inn: Inn) -> dict[str, int]:
    """By host, the number of what happened last."""
    ask = "select coalesce(max(number), 0) from change"
    return {host: int(rows(inn, host, ask)[0][0]) for host in inn.hosts}


def times(inn: Inn, host: str, guest: str, event: str) -> int:
    """So often that happened to it."""
    return [found for found, _ in changes(inn, host, guest)].count(event)


def times_since(inn: Inn, since: Mapping[str, int], guest: str, event: str) -> int:
    """So often that happened on all hosts."""
    return sum([found for found, _ in changes(inn, host, guest, since[host])].count(event) for host in since)


async def unlike_machines(inn: Inn) -> list[str]:
    """Guests and volumes with our mark that are not those of the machines, and the other way round."""
    machines = await inn.db.fetch(_MACHINES)
    wanted_guests = {(one["host"], one["hostname"], one["uuid"]) for one in machines}
    wanted_volumes = {(one["host"], name) for one in machines for name in one["volumes"]}
    found_guests = {(host, *row) for host in inn.hosts for row in rows(inn, host, _GUESTS)}
    marked_volumes = {(host, *row) for host in inn.hosts for row in rows(inn, host, _MARKED_VOLUMES)}
    all_volumes = {(host, *row) for host in inn.hosts for row in rows(inn, host, "select name from volume")}
    return [
        *(f"a guest that no machine has: {one}" for one in sorted(found_guests - wanted_guests)),
        *(f"a machine without its guest: {one}" for one in sorted(wanted_guests - found_guests)),
        *(f"a volume that no machine has: {one}" for one in sorted(marked_volumes - wanted_volumes)),
        *(f"a machine without its volume: {one}" for one in sorted(wanted_volumes - all_volumes)),
    ]
