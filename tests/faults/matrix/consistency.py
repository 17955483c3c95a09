"""What must be true after every cell, whatever the request and the victim."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator

from attrs import frozen

from rackd.drivers.simulated.deployments import IMAGE_PREFIX, image_volume
from regiond.ledger import consistency
from regiond.reconciler.detection import find_discrepancies
from regiond.reconciler.store import use_snapshot
from tests.deployment.simulated_host import Row
from tests.faults.consistency import OVERCOMMITTED
from tests.faults.matrix.site import NOT_READY, MatrixSite
from tests.support.waiting import eventually

_OPEN = """
    select id, kind, state, step, attempt, error_message, lease_owner is not null as leased from operation
     where is_open order by id
"""
_LEASED = (
    "select id from operation where finished_at is not null and (lease_owner is not null or lease_until is not null)"
)
_MACHINES = """
    select h.name as host, m.uuid::text, m.hostname,
           array(select d.volume from machine_disk d where d.machine_id = m.id order by d.volume) as volumes
      from machine m join vm_host h on h.id = m.host_id
"""
_KEPT_DISKS = "select h.name as host, k.volume from kept_disk k join vm_host h on h.id = k.host_id"
_IMAGE_COPIES = """
    select h.name as host, c.sha256, c.state
      from image_copy c join vm_host h on h.server_id = c.server_id
"""


@frozen(kw_only=True)
class ForeignGuests:
    """Every value of the guests without our marker, by host."""

    rows: dict[str, list[Row]]

    def changes(self, now: ForeignGuests, *, except_names: Collection[str] = ()) -> Iterator[str]:
        """A problem for each host whose foreign guests changed since."""
        for host, found in self.rows.items():
            before, after = (
                [row for row in rows if row[0] not in except_names] for rows in (found, now.rows.get(host, []))
            )
            if before != after:
                yield f"{host}: foreign guests changed from {before} to {after}"


def foreign_guests(site: MatrixSite) -> ForeignGuests:
    return ForeignGuests(rows={name: host.file.foreign_rows() for name, host in site.shared.items()})


async def until_quiet(site: MatrixSite) -> list[str]:
    """Waits until no operation is open, the rack is linked and every host is ready; returns what is not so."""

    async def quiet() -> bool:
        return not await _in_progress(site) and not await site.fetch(NOT_READY)

    if await _becomes(quiet):
        return []
    not_ready = [f"host {row['name']} is not ready and reachable" for row in await site.fetch(NOT_READY)]
    return [*await _in_progress(site), *not_ready]


async def problems(site: MatrixSite) -> list[str]:
    """Refreshes the hosts first: a host that was unreachable becomes ready by it. Waits for what the refresh starts."""

    async def at_rest() -> bool:
        return not await _in_progress(site)

    if not await _becomes(at_rest):
        return await _in_progress(site)
    await site.refresh_all()
    if not_quiet := await until_quiet(site):
        return not_quiet
    async with site.db.acquire() as db, db.transaction():
        await use_snapshot(db)
        discrepancies = [one.message for one in await find_discrepancies(db)]
        in_ledger = await consistency.check(db)
    return [
        *discrepancies,
        *in_ledger,
        *await _machines_without_guests(site),
        *await _wrong_copies(site),
        *(f"operation {row['id']} has ended and is leased" for row in await site.fetch(_LEASED)),
        *(f"{row[0]} is overcommitted" for row in await site.fetch(OVERCOMMITTED)),
    ]


async def _machines_without_guests(site: MatrixSite) -> list[str]:
    """Marked guests, and volumes that belong to no machine and are not kept, and machines without theirs, on the shared
    hosts."""
    machines = [one for one in await site.fetch(_MACHINES) if one["host"] in site.shared]
    kept = {(one["host"], one["volume"]) for one in await site.fetch(_KEPT_DISKS) if one["host"] in site.shared}
    wanted_guests = {(one["host"], one["hostname"], one["uuid"]) for one in machines}
    wanted_volumes = kept | {(one["host"], name) for one in machines for name in one["volumes"]}
    files = {name: host.file for name, host in site.shared.items()}
    found_guests = {(name, *row) for name, file in files.items() for row in file.marked_guests()}
    marked_volumes = {(name, volume) for name, file in files.items() for volume in file.marked_volumes()}
    all_volumes = {(name, volume) for name, file in files.items() for volume in file.volume_names()}
    return [
        *(f"guest without machine: {one}" for one in sorted(found_guests - wanted_guests)),
        *(f"machine without guest: {one}" for one in sorted(wanted_guests - found_guests)),
        *(f"volume without machine: {one}" for one in sorted(marked_volumes - wanted_volumes)),
        *(f"machine without volume: {one}" for one in sorted(wanted_volumes - all_volumes)),
    ]


async def _wrong_copies(site: MatrixSite) -> list[str]:
    """Copies of images on the shared hosts that the region does not know, and those that it only believes in."""
    known = {
        (row["host"], image_volume(row["sha256"]), row["state"])
        for row in await site.fetch(_IMAGE_COPIES)
        if row["host"] in site.shared
    }
    found = {
        (name, volume, "complete")
        for name, host in site.shared.items()
        for volume in host.file.volume_names()
        if volume.startswith(IMAGE_PREFIX)
    }
    return [
        *(f"copy of an image not known: {one}" for one in sorted(found - known)),
        *(f"copy of an image not there: {one}" for one in sorted(known - found)),
    ]


async def _becomes(check: Callable[[], Awaitable[bool]]) -> bool:
    try:
        await eventually(check)
    except AssertionError:
        return False
    return True


async def _in_progress(site: MatrixSite) -> list[str]:
    return [
        *(f"operation is open: {dict(row)}" for row in await site.fetch(_OPEN)),
        *([] if await site.is_linked() else ["the rack is not linked"]),
    ]
