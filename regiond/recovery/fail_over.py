"""Moves the database on when it is served by another server than before: after a fail-over, or a recovery."""

from __future__ import annotations

from datetime import timedelta

import structlog
from attrs import frozen

from common.trust.certificates import utc_now
from common.words.phrases import first_of
from regiond.audit.service import Audit
from regiond.backup.forward_store import move_sequences
from regiond.db.history import ServerHistory
from regiond.db.listener import Notifications
from regiond.db.pool import Db
from regiond.db.position import Position, has_moved
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.operations.seen_changes import SeenChanges
from regiond.racks.enrolment.installation import is_new_installation
from regiond.recovery.restored_database import move_on, newest_moment, record_position, recorded_position

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

KIND = "database_failed_over"
_SHOWN = 10
_REPLAYED = "select pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
_AUDITED = "select head_id from audit_chain"


@frozen(kw_only=True)
class Evidence:
    """The last moments of the former primary, as far as this region knows them."""

    notifications: Notifications
    changes: SeenChanges
    audit: Audit

    async def loss(self, db: Db, seen: Position, former: Position | None) -> str | None:
        """Returns what the database lacks, in words; None if it has all that any region has answered.

        Everything up to the last sign of life of the former primary is in the log that the new one has replayed, and
        what changed after that was notified.
        """
        heard = None if former is None else self.notifications.heard.get(former)
        if not seen.follows(former) or heard is None:
            return "this region does not know what the former server had"
        if operations := await self.changes.lost(db):
            return f"it lacks changes of {first_of([f'operation {one}' for one in operations], _SHOWN)}"
        if await db.fetchval(_AUDITED) < self.audit.answered_id:
            return "it lacks requests that were answered"
        if not await db.fetchval(_REPLAYED, heard):
            return "it may lack the end of the log of the former server"
        return None

    def forget(self) -> None:
        """Drops the evidence: it has been used, and is none of a later loss."""
        self.changes.forget()
        self.audit.answered_id = 0


class FailOver:
    """Called with the first connection to a server of another history. `evidence` is given once the region runs."""

    def __init__(self, history: ServerHistory) -> None:
        self.history = history
        self.evidence: Evidence | None = None
        history.on_moved(self.settle)

    async def settle(self, db: Db, seen: Position, former: Position | None) -> None:
        """Returns when the database can be used. One region moves it on, the others wait for that.

        If nothing that a region has answered is lost, operations continue. Otherwise the database is one that was
        restored: hosts may have VMs, and users may have made decisions, that it does not know.
        """
        if seen == former:
            return
        async with db.transaction():
            is_new = await is_new_installation(db)
            recorded = await recorded_position(db)
            if not has_moved(seen, recorded=recorded, remembered=former, is_new=is_new):
                return
            loss = "no region knows it" if self.evidence is None else await self.evidence.loss(db, seen, former)
            if loss is not None:
                at = await newest_moment(db)
                served_until = None if self.evidence is None else self.evidence.notifications.lost_at
                # Nothing was given out while no server accepted writes.
                outage = timedelta() if served_until is None else max(utc_now() - max(served_until, at), timedelta())
                how = f"to its state of {at:%Y-%m-%d %H:%M:%S} UTC by a fail-over or a recovery ({loss})"
                message = await move_on(db, at + outage, how, None, position=seen)
                log.warning("database_moved_on", timeline=seen.timeline, loss=loss)
            else:
                await move_sequences(db, utc_now())
                message = f"The database is now served by another server ({seen}). It has everything that was answered."
                await record_position(db, seen)
                await Events.record(db, KIND, message, level=Level.WARNING)
                log.warning("database_failed_over", timeline=seen.timeline)
        if self.evidence is not None:
            self.evidence.forget()
