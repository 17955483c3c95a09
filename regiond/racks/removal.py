"""Removes racks, also stolen ones, and has the credentials that they had replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from common.errors import NotFound
from regiond.db.pool import Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.racks import store, view_store
from regiond.racks.model import Exposed, ExposedByHand, rack_removal
from regiond.requests.caller import Caller
from regiond.requests.deletion_plan import DeletionPlan


class Exposure(Protocol):
    """Replaces the credentials that a removed rack had. Both methods join the caller's transaction."""

    async def rotate(self, db: Db, caller: Caller, rack_id: UUID) -> Sequence[int]:
        """Opens the rotations that are not open yet; returns the ids of all."""

    async def by_hand(self, db: Db, rack_id: UUID) -> tuple[ExposedByHand, ...]:
        """Returns the credentials that only a person can replace."""


async def remove_rack(db: Db, caller: Caller, rack_id: UUID, exposure: Exposure) -> DeletionPlan:
    """Removes the rack in the caller's transaction and rotates its credentials. Idempotent. Raises NotFound."""
    hosts = await store.hosts_of_only(db, rack_id)
    name = await store.remove(db, rack_id)
    if name is None:
        if await store.membership(db, rack_id) is None:
            raise NotFound(f"There is no rack {rack_id}.")
        return rack_removal(str(rack_id), None, hosts)
    exposed = await _rotate(db, caller, rack_id, exposure)
    message = " ".join((f"The rack {name!r} was removed.", *exposed.sentences))
    await Events.record(db, "rack_removed", message, level=Level.WARNING, caller=caller, rack_id=rack_id)
    return rack_removal(str(rack_id), name, hosts, exposed)


async def report_stolen(db: Db, caller: Caller, rack_id: UUID, exposure: Exposure) -> None:
    """Removes the rack unless it is removed, and rotates every credential that was ever sent to it. Idempotent."""
    await store.remove(db, rack_id)
    name = await store.report_stolen(db, rack_id)
    if name is None:
        return
    exposed = await _rotate(db, caller, rack_id, exposure)
    message = " ".join((f"The rack {name!r} was reported stolen, and is removed.", *exposed.sentences))
    await Events.record(db, "rack_stolen", message, level=Level.ERROR, caller=caller, rack_id=rack_id)


async def _rotate(db: Db, caller: Caller, rack_id: UUID, exposure: Exposure) -> Exposed:
    operations = await exposure.rotate(db, caller, rack_id)
    for operation_id in operations:
        await store.add_rotation(db, rack_id, operation_id)
    hosts = {one.operation_id: one.host for one in await view_store.list_rotations(db, rack_id)}
    by_hand = await exposure.by_hand(db, rack_id)
    return Exposed(rotated=tuple(hosts[operation_id] for operation_id in operations), by_hand=by_hand)
