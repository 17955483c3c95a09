"""Moves machines and devices to a zone, all or none, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from common.errors import InvalidRequest, NotFound
from regiond.db.pool import Db, Row
from regiond.events.model import NewEvent
from regiond.events.service import Events
from regiond.machines.core import lifecycle_store, view_store
from regiond.machines.core.ownership_rules import check_unlocked
from regiond.machines.devices import store as device_store
from regiond.machines.devices.model import check_zone
from regiond.machines.values.devices import DeviceFilter
from regiond.requests.caller import Caller

# A machine that is to be in the zone of its host follows it from now on. The machine is locked already, and a change of
# the host's zone locks it too (`hosts.store.move_to_zone`): either sees what the other has done.
_CHOOSE = """
    with before as (
        select m.id, m.zone_id, h.zone_id as host_zone_id
          from machine m left join vm_host h on h.id = m.host_id
         where m.system_id = any($1::text[])
    )
    update machine m set zone_id = $2, zone_chosen = before.host_zone_id is distinct from $2
      from before where m.id = before.id
    returning m.hostname, m.system_id, m.host_id, (select name from zone where id = $2) as zone,
              before.zone_id <> $2 as moved
"""
# Devices on a machine are left out: they are in its zone.
_MOVE_DEVICES = """
    update device set zone_id = $2 where system_id = any($1::text[]) and owner_id is not null and zone_id <> $2
    returning hostname, system_id, null::integer as host_id, (select name from zone where id = $2) as zone
"""


async def move_to_zone(db: Db, caller: Caller, machines: Sequence[str], devices: Sequence[str], zone_id: int) -> None:
    """Moves `machines` and `devices` (system ids). Idempotent: records an event of each that was in another zone.

    Raises NotFound, NotAllowed for a locked machine, and InvalidRequest under `zone` if a device is on a machine of
    another zone, or the zone was just deleted.
    """
    await lifecycle_store.lock(db, machines)
    for machine in await view_store.read_several(db, machines):
        check_unlocked(machine)
    await _check_devices(db, devices, zone_id)
    moved = [(row, "machine_zone_changed") for row in await choose_zone(db, machines, zone_id)]
    with _existing_zone():
        moved += [(row, "device_changed") for row in await db.fetch(_MOVE_DEVICES, devices, zone_id)]
    await Events.record_several(
        db,
        [
            NewEvent(
                kind=kind,
                message=f"{row['hostname']} is in the zone {row['zone']}",
                host_id=row["host_id"],
                system_id=row["system_id"],
            )
            for row, kind in moved
        ],
        caller=caller,
    )


async def choose_zone(db: Db, machines: Sequence[str], zone_id: int) -> list[Row]:
    """Moves the machines (system ids), which the caller has locked; returns those that were in another zone.

    They stay in the zone when their hosts move to another one, unless it is the zone of the host: then they follow it.
    Raises InvalidRequest if the zone was just deleted.
    """
    with _existing_zone():
        return [row for row in await db.fetch(_CHOOSE, machines, zone_id) if row["moved"]]


@contextmanager
def _existing_zone() -> Iterator[None]:
    try:
        yield
    except asyncpg.ForeignKeyViolationError as error:
        raise InvalidRequest.of({"zone": ["The zone was just deleted."]}) from error


async def _check_devices(db: Db, system_ids: Iterable[str], zone_id: int) -> None:
    wanted = tuple(dict.fromkeys(system_ids))
    if not wanted:
        return
    found = await device_store.devices(db, DeviceFilter(system_ids=wanted))
    unknown = set(wanted) - {one.system_id for one in found}
    if unknown:
        raise NotFound(f"Unknown device(s): {', '.join(sorted(unknown))}.")
    await device_store.lock(db, [one.id for one in found if one.parent is None])
    for device in found:
        check_zone(device.parent, device.zone, zone_id)
