"""Records which rack reaches which host; finds the racks to ask, by reach, link and zone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import asyncpg

from common.errors import InnkeeperError
from regiond.credentials import sent_store
from regiond.db.pool import Database, reading
from regiond.racks.admission_model import rack_uuid
from regiond.racks.enrolment.rejections import Rejections
from regiond.racks.reach import store as reach_store
from regiond.racks.reach import zone_store
from regiond.racks.reach.zone_store import UnservedHost
from regiond.racks.reach_model import DisconnectedRack, RackCandidate, RecordedReach, Zones, sort_candidates


class RackReach:
    """The reach of racks, as the region process `region_id` records and reads it."""

    def __init__(self, database: Database, region_id: UUID) -> None:
        self._database = database
        self._region_id = region_id
        self._rejections = Rejections(database)

    async def record_reach(self, rack_id: str, host_id: int, error: InnkeeperError | None = None) -> RecordedReach:
        """Records whether the rack reached the host, or `error`. Writes only changes."""
        async with self._database.connection() as db:
            try:
                return await reach_store.record_reach(db, rack_uuid(rack_id), host_id, error)
            except asyncpg.ForeignKeyViolationError:
                return RecordedReach(changed=False)  # host or rack was just deleted

    async def record_rejection(self, rack_id: str, host_id: int | None, reason: str) -> None:
        """Records that a response or event of the rack was rejected."""
        await self._rejections.record_response(rack_id, host_id, reason)

    async def racks_for(self, host_id: int) -> tuple[RackCandidate, ...]:
        """Returns the connected racks in the order to try them."""
        async with self._database.connection() as db:
            return sort_candidates(await reach_store.candidates(db, host_id, self._region_id))

    async def disconnected_racks(self, host_id: int, *, linked: Collection[UUID]) -> tuple[DisconnectedRack, ...]:
        """Returns the racks that reached the host and have no link now; `linked`: those with a link to this process."""
        async with self._database.connection() as db:
            return await reach_store.disconnected_racks(db, host_id, self._region_id, linked)

    racks_to_wait_for = reading(reach_store.racks_to_wait_for)
    racks_that_may_have_called = reading(reach_store.racks_that_may_have_called)

    async def untried_hosts(self) -> tuple[tuple[UUID, int], ...]:
        """Returns (rack, host) pairs of linked racks and ready hosts without any attempt, at most 1000."""
        async with self._database.connection() as db:
            return await reach_store.untried_hosts(db, self._region_id)

    unreached_hosts = reading(reach_store.unreached_hosts)
    zone_coverage = reading(zone_store.coverage)
    zones_of = reading(zone_store.zones_of_rack)

    async def zones_of_racks(self) -> Mapping[UUID, Zones]:
        """Returns the zones that each rack linked to this process serves."""
        async with self._database.connection() as db:
            return await zone_store.zones_of_linked_racks(db, self._region_id)

    async def unserved_hosts(self) -> tuple[UnservedHost, ...]:
        """Returns hosts whose credentials linked racks have although they do not serve their zones, at most 1000."""
        async with self._database.connection() as db:
            return await zone_store.unserved_hosts(db, self._region_id)

    async def record_forgotten(self, unserved: UnservedHost) -> None:
        """Records that the rack deleted the credentials."""
        async with self._database.connection() as db:
            await sent_store.record_forgotten(db, unserved.rack_id, unserved.host_id, unserved.seen_at)
