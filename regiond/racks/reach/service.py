"""Records which rack reaches which host; finds the racks to ask, by reach, link and zone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from common.errors import InnkeeperError
from regiond.credentials import service as credential_service
from regiond.db.pool import Database
from regiond.racks.admission_model import rack_uuid
from regiond.racks.enrolment.rejections import Rejections
from regiond.racks.reach import store as reach_store
from regiond.racks.reach import zone_store
from regiond.racks.reach.zone_store import UnservedHost
from regiond.racks.reach_model import (
    AwaitedRack,
    DisconnectedRack,
    RackCandidate,
    RecordedReach,
    WaitLimits,
    Zones,
    sort_candidates,
)
from regiond.racks.unreachable import ZoneCoverage


class RackReach:
    """One per region process, whose id is `region_id`."""

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

    async def disconnected_racks(self, host_id: int) -> tuple[DisconnectedRack, ...]:
        """Returns racks whose last attempt reached the host and that have no link now."""
        async with self._database.connection() as db:
            return await reach_store.disconnected_racks(db, host_id)

    async def racks_to_wait_for(
        self, host_id: int, waits: WaitLimits, *, ended: Collection[UUID], running: Collection[UUID]
    ) -> Sequence[AwaitedRack]:
        """Returns the racks for the zone of the host that may run a call since before `waits.since`, by name.

        Those are the racks that are `running` one, and those that have not `ended` theirs and had a link so shortly
        before `waits.since` that it may not have ended by then; both as long as they are waited for.
        """
        async with self._database.connection() as db:
            return await reach_store.racks_to_wait_for(db, host_id, waits, ended=ended, running=running)

    async def racks_that_may_have_called(
        self, host_id: int, *, since: datetime, until: datetime | None, ended: Collection[UUID]
    ) -> Sequence[str]:
        """Returns the names of racks for the zone of the host that had a link after `since` and have not `ended` their
        calls; none after `until`, if that is given.
        """
        async with self._database.connection() as db:
            return await reach_store.racks_that_may_have_called(db, host_id, since=since, until=until, ended=ended)

    async def untried_hosts(self) -> tuple[tuple[UUID, int], ...]:
        """Returns (rack, host) pairs of linked racks and ready hosts without any attempt, at most 1000."""
        async with self._database.connection() as db:
            return await reach_store.untried_hosts(db, self._region_id)

    async def unreached_hosts(self) -> tuple[int, ...]:
        """Returns ready hosts that no connected rack reaches."""
        async with self._database.connection() as db:
            return await reach_store.unreached_hosts(db)

    async def zone_coverage(self, host_id: int) -> ZoneCoverage | None:
        """Returns which racks serve the zone of the host; None if there is no such host."""
        async with self._database.connection() as db:
            return await zone_store.coverage(db, host_id)

    async def zones_of(self, rack_id: UUID) -> Zones:
        """Returns the zones that the rack serves."""
        async with self._database.connection() as db:
            return await zone_store.zones_of_rack(db, rack_id)

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
            await credential_service.record_forgotten(db, unserved.rack_id, unserved.host_id, unserved.seen_at)
