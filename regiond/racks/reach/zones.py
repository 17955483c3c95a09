"""Checks the zones that a request names for a rack, and records changes of the zones that it serves."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from common.errors import InvalidRequest, NotFound, TokenRejected, WrongState
from regiond.db.pool import Db
from regiond.events.service import Events
from regiond.racks.reach import zone_store
from regiond.racks.unreachable import zones_text
from regiond.requests.caller import Caller
from regiond.requests.validation_messages import no_such

ALL_ZONES = "all zones"


async def requested_zones(db: Db, names: Sequence[str] | None) -> Sequence[int] | None:
    """Returns the ids of the named zones; None, which is all zones, for None. Raises InvalidRequest for `zones`."""
    if names is None:
        return None
    if not names:
        raise InvalidRequest.of({"zones": ["Name at least one zone, or use all_zones=true."]})
    found = await zone_store.zone_ids(db, names)
    unknown = [no_such("zone", [name]) for name in names if name not in found]
    if unknown:
        raise InvalidRequest.of({"zones": unknown})
    return sorted(set(found.values()))


async def zones_of_token(db: Db, ids: Sequence[int] | None) -> Sequence[int] | None:
    """Returns the zones of a rack that joins with a token of these zones. Raises TokenRejected if none exists."""
    if ids is None:
        return None
    existing = await zone_store.existing(db, ids)
    if not existing:
        message = "The zones of this token were deleted. Get a new one with: innkeeper rack token zones=ZONE,…"
        raise TokenRejected(message, reason="zones")
    return existing


async def described(db: Db, ids: Sequence[int] | None) -> str:
    """Returns the zones as text, such as `all zones` or `zones a, b`."""
    return ALL_ZONES if ids is None else zones_text(await zone_store.names(db, ids))


async def change_zones(db: Db, caller: Caller, rack_id: UUID, names: Sequence[str] | None) -> None:
    """Has the rack serve the named zones, None: all. Idempotent.

    Raises NotFound; WrongState for a removed rack; InvalidRequest for `zones`.
    """
    ids = await requested_zones(db, names)
    rack = await zone_store.lock(db, rack_id)
    if rack is None:
        raise NotFound(f"There is no rack {rack_id}.")
    if rack.removed_at is not None:
        raise WrongState(f"The rack {rack.name!r} was removed on {rack.removed_at:%Y-%m-%d}.")
    if (None if rack.zone_ids is None else sorted(rack.zone_ids)) == ids:
        return
    before, now = await described(db, rack.zone_ids), await described(db, ids)
    message = f"The rack {rack.name!r} serves {now}; before, it served {before}."
    await zone_store.set_zones(db, rack_id, ids)
    await Events.record(db, "rack_zones_changed", message, caller=caller, rack_id=rack_id)
