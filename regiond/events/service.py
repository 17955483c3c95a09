"""The audit trail: what happened, who did it, kept for a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog
from attrs import evolve

from regiond.accounts.model import Caller
from regiond.db.pool import Database
from regiond.events import store
from regiond.events.model import Event, EventFilter, Level

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

KEEP = timedelta(days=90)
LONGEST_PAGE = 1000
_PRUNED_AT_ONCE = 5000


class Events:
    """`keep` is how long an event stays readable; `prune` removes what is older."""

    def __init__(self, database: Database, *, keep: timedelta = KEEP) -> None:
        self._database = database
        self._keep = keep

    @staticmethod
    async def record(
        db: Db,
        kind: str,
        message: str,
        *,
        level: Level = Level.INFO,
        caller: Caller | None = None,
        host_id: int | None = None,
        system_id: str | None = None,
        operation_id: int | None = None,
        rack_id: UUID | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Write one event inside the caller's transaction, so that it is told exactly when it is true. No secrets."""
        return await store.insert(
            db,
            kind,
            level,
            message,
            host_id=host_id,
            system_id=system_id,
            operation_id=operation_id,
            rack_id=rack_id,
            username=caller.username if caller else None,
            details=details or {},
        )

    async def list(self, wanted: EventFilter | None = None) -> tuple[Event, ...]:
        """Newest first, at most 1,000."""
        wanted = wanted or EventFilter()
        limited = evolve(wanted, limit=max(1, min(wanted.limit, LONGEST_PAGE)))
        async with self._database.connection() as db:
            return await store.select(db, limited)

    async def prune(self) -> int:
        """Remove what is older than `keep`, a few thousand at a time; returns how many went. For once in a while."""
        removed = 0
        while True:
            async with self._database.connection() as db:
                some = await store.prune(db, self._keep, limit=_PRUNED_AT_ONCE)
            removed += some
            if some < _PRUNED_AT_ONCE:
                break
        if removed:
            log.info("events_pruned", events=removed, kept_days=self._keep.days)
        return removed
