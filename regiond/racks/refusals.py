"""What racks told or wanted and were refused, kept as events. The same again is told seldom: a rack may not fill the
database with its faults."""

from __future__ import annotations

import structlog

from common.errors import DatabaseUnavailable, NotAllowed
from common.rpc.peers import Peer
from common.seldom import Seldom
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.racks import store
from regiond.racks.model import peer_id, rack_uuid

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LONGEST_REASON = 1000
SAME_AGAIN_S = 600.0
_LAST_HOST_ID = 2**31 - 1


class Refusals:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._seldom = Seldom(every_s=SAME_AGAIN_S)

    async def answer(self, rack_id: str, host_id: int | None, why: str) -> None:
        """Something a rack told was not believed, and changed nothing. Raises DatabaseUnavailable."""
        if not self._seldom.may(rack_id, host_id):
            return
        log.warning("rack_answer_refused", rack_id=rack_id, host=host_id, because=why)
        async with self._database.transaction() as db:
            known = await store.standing(db, rack_uuid(rack_id))
            message = f"The rack {known.name if known else rack_id!r} was not believed: {_storable(why)}"
            can_be = host_id is not None and host_id <= _LAST_HOST_ID
            await Events.record(
                db, "rack_answer_refused", message, level=Level.WARNING,
                host_id=host_id if can_be else None, rack_id=rack_uuid(rack_id), details={"host": host_id},
            )  # fmt: skip

    async def at_the_door(self, peer: Peer, error: NotAllowed) -> None:
        """A rack with a good certificate is not wanted: it stays out, whether that can be kept or not."""
        if not self._seldom.may(peer.id, "door"):
            return
        try:
            async with self._database.transaction() as db:
                message = f"The rack {_storable(peer.name)!r} was refused at the door: {_storable(error.message)}"
                await Events.record(db, "rack_refused", message, level=Level.WARNING, rack_id=peer_id(peer))
        except DatabaseUnavailable as failed:
            log.warning("refusal_not_kept", rack=peer.name, because=failed.message)


def _storable(text: str) -> str:
    return text[:LONGEST_REASON].replace("\0", "").encode("utf-8", "replace").decode()
