"""Records, lists and prunes the events of the audit trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from attrs import evolve

from regiond.db.pool import Database, Db
from regiond.events import store
from regiond.events.model import Event, EventFilter, Level, NewEvent
from regiond.requests.caller import Caller

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

RETENTION = timedelta(days=90)
MAX_PAGE = 1000
_PRUNE_BATCH = 5000


class Events:
    """The audit trail's events. They are retained for `retention`; `prune` deletes older ones."""

    def __init__(self, database: Database, *, retention: timedelta = RETENTION) -> None:
        self._database = database
        self.retention = retention

    @staticmethod
    async def record(
        db: Db,
        kind: str,
        message: str,
        *,
        level: Level = Level.INFO,
        caller: Caller | None = None,
        account_id: int | None = None,
        username: str | None = None,
        host_id: int | None = None,
        system_id: str | None = None,
        operation_id: int | None = None,
        rack_id: UUID | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> int:
        """Records an event in the caller's transaction and returns its id. Must not contain secrets.

        `account_id` and `username` are those of an operation, which acts for a caller that may have gone.
        """
        return await store.insert(
            db,
            kind,
            level,
            message,
            host_id=host_id,
            system_id=system_id,
            operation_id=operation_id,
            rack_id=rack_id,
            username=caller.username if caller else username,
            account_id=caller.account_id if caller else account_id,
            details=details or {},
        )

    @staticmethod
    async def is_recorded(db: Db, kind: str, *, within: timedelta, caller: Caller, details: Mapping[str, Any]) -> bool:
        """Returns whether the caller caused such an event, with these details, within that time."""
        return await store.is_recorded(db, within, kind, caller.account_id, details)

    @staticmethod
    async def record_several(db: Db, new: Sequence[NewEvent], *, caller: Caller) -> None:
        """Records events as `record` does, with one statement for all."""
        await store.insert_several(db, new, username=caller.username, account_id=caller.account_id)

    async def list(self, filter_: EventFilter | None = None, *, caller: Caller | None = None) -> tuple[Event, ...]:
        """Returns the events that match and that the caller may see, newest first, at most 1,000. No caller: all."""
        filter_ = filter_ or EventFilter()
        limited = evolve(filter_, limit=max(1, min(filter_.limit, MAX_PAGE)))
        async with self._database.connection() as db:
            return await store.select(db, limited, caller=caller)

    async def prune(self) -> int:
        """Deletes events older than the retention, in batches. Returns the number deleted. Idempotent."""
        removed = await self._database.in_batches(
            lambda db, limit: store.prune(db, self.retention, limit=limit), batch_rows=_PRUNE_BATCH
        )
        if removed:
            log.info("events_pruned", events=removed, retention_days=self.retention.days)
        return removed
