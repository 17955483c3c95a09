"""Records rejected racks and rack responses as audit events, rate-limited per rack and host."""

from __future__ import annotations

import structlog

from common.errors import DatabaseUnavailable, NotAllowed
from common.rate_limit import RateLimiter
from common.rpc.peers import Peer
from common.words.hidden_text import hidden
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.racks import store
from regiond.racks.admission_model import peer_id, rack_uuid
from regiond.requests.identifiers import storable

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_REASON_CHARS = 1000
SAME_EVERY_S = 600.0
_MAX_HOST_ID = 2**31 - 1


class Rejections:
    """Records at most one event per rack and host in ten minutes, so that a faulty rack cannot fill the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._limiter = RateLimiter(every_s=SAME_EVERY_S)

    async def record_response(self, rack_id: str, host_id: int | None, reason: str) -> None:
        """Records that a response or event of the rack was rejected. Raises DatabaseUnavailable."""
        if not self._limiter.allow(rack_id, host_id):
            return
        log.warning("rack_response_rejected", rack_id=rack_id, host_id=host_id, reason=reason)
        async with self._database.transaction() as db:
            rack = await store.membership(db, rack_uuid(rack_id))
            message = f"Rejected a response of rack {rack.name if rack else rack_id!r}: {hidden(_storable(reason))}"
            is_possible_id = host_id is not None and host_id <= _MAX_HOST_ID
            await Events.record(
                db, "rack_response_rejected", message, level=Level.WARNING,
                host_id=host_id if is_possible_id else None, rack_id=rack_uuid(rack_id), details={"host": host_id},
            )  # fmt: skip

    async def record_connection(self, peer: Peer, error: NotAllowed) -> None:
        """Records that a rack with a valid certificate was not admitted. Without a database, only the log has it."""
        if not self._limiter.allow(peer.id, "connection"):
            return
        try:
            async with self._database.transaction() as db:
                message = f"Rejected the connection of rack {_storable(peer.name)!r}: {_storable(error.message)}"
                await Events.record(db, "rack_rejected", message, level=Level.WARNING, rack_id=peer_id(peer))
        except DatabaseUnavailable as failed:
            log.warning("rack_rejection_not_recorded", rack=peer.name, reason=failed.message)


def _storable(text: str) -> str:
    return storable(text[:MAX_REASON_CHARS])
