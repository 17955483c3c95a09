"""Deletes old rows: ended operations, used keys, tombstones, certificates that were revoked."""

from __future__ import annotations

from datetime import timedelta

import structlog
from attrs import frozen

from regiond.db.pool import Database
from regiond.housekeeping import retention_store

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

BATCH = 1000  # rows that one transaction deletes, so that no lock is held for long


@frozen(kw_only=True)
class RetentionPeriods:
    """The times that rows stay after they have ended.

    A tombstone stays long: a guest of a deleted machine on a host that was away is removed only while the machine has
    one. A request that is repeated with its idempotency key after that key has gone is executed again.
    """

    operations: timedelta = timedelta(days=90)
    idempotency_keys: timedelta = timedelta(days=7)
    tombstones: timedelta = timedelta(days=730)
    certificates: timedelta = timedelta(days=90)  # after the certificate of a removed rack or a client has expired

    @property
    def by_kind(self) -> dict[retention_store.Kind, timedelta]:
        """In the order of deletion: an operation stays while it has a key."""
        kinds = retention_store.Kind
        return {
            kinds.IDEMPOTENCY_KEYS: self.idempotency_keys,
            kinds.OPERATIONS: self.operations,
            kinds.TOMBSTONES: self.tombstones,
            kinds.RACKS: self.certificates,
            kinds.RPC_CLIENTS: self.certificates,
            kinds.RACK_TOKENS: self.certificates,
            kinds.SESSIONS: timedelta(),
            kinds.RELEASED_MACHINES: timedelta(minutes=5),  # as long as they can be read
        }


class Retention:
    def __init__(self, database: Database, periods: RetentionPeriods) -> None:
        self._database = database
        self.periods = periods

    async def prune(self) -> dict[str, int]:
        """Deletes what is older than its period, in batches. Returns how many rows of each kind. Idempotent."""
        deleted = {kind.value: await self._prune(kind, period) for kind, period in self.periods.by_kind.items()}
        if any(deleted.values()):
            log.info("old_rows_deleted", **deleted)
        return deleted

    async def _prune(self, kind: retention_store.Kind, period: timedelta) -> int:
        return await self._database.in_batches(
            lambda db, limit: retention_store.delete_old(db, kind, period, limit=limit), batch_rows=BATCH
        )
