"""Moves machines and devices to a zone, all or none, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg

from common.errors import InvalidRequest, NotFound
from regiond.caller import Caller
from regiond.db.pool import Db
from regiond.events.model import NewEvent
from regiond.events.service import Events
from regiond.machines import lifecycle_store, view_store
from regiond.machines.devices import store as device_store
from regiond.machines.devices.model import check_zone
from regiond.machines.ownership_rules import check_unlocked
from regiond.machines.values.devices import DeviceFilter

# Machines that are in the zone already are left out.
_MOVE_MACHINES = """
    update machine set zone_id = $2 where system_id = any($1::text[]) and zone_id <> $2
    returning hostname, system_id, host_id, (select name from zone where id = $2) as zone
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
    try:
        moved = [
            *((row, "machine_zone_changed") for row in await db.fetch(_MOVE_MACHINES, machines, zone_id)),
            *((row, "device_changed") for row in await db.fetch(_MOVE_DEVICES, devices, zone_id)),
        ]
    except asyncpg.ForeignKeyViolationError as error:
        raise InvalidRequest.of({"zone": ["The zone was just deleted."]}) from error
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
