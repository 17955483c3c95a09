"""Sends the audit trail to one destination, in order and at least once. One region at a time sends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog
from attrs import frozen

from common.errors import DatabaseUnavailable
from common.process.periodic import NextRoundIn, PeriodicTask
from regiond.audit import store as trail
from regiond.audit.export import store
from regiond.audit.export.model import Destination
from regiond.audit.export.senders import Doubtful, NotSent, Sender, TooManyEntries
from regiond.audit.model import RawEntry
from regiond.db.pool import Database

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

BATCH = 200  # entries that one message or request carries, and that are in memory
LEASE_S = 60.0
SEND_DEADLINE_S = 30.0  # below the lease, so that two regions hardly ever send the same
POLL_S = 2.0  # finds entries of other regions
LONGEST_PAUSE_S = 60.0


@frozen(kw_only=True)
class ExportState:
    """`sends`: this region holds the lease. `reason`: why its last attempt failed."""

    sends: bool
    sent_id: int
    reason: str | None


class AuditExport:
    """Reads the trail behind the requests: a slow destination never delays one, and memory holds one batch.

    `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        database: Database,
        destination: Destination,
        sender: Sender,
        *,
        region_id: UUID,
        batch: int = BATCH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._destination = destination
        self._sender = sender
        self._region_id = region_id
        self._largest_batch = self._batch = batch
        self._clock = clock
        self._sent_id: int | None = None  # while this region holds the lease
        self._doubtful_after_id: int | None = None  # until the database has the position to repeat from
        self._renew_at = 0.0
        self._failures = 0
        self._reason: str | None = None
        self._task = PeriodicTask("audit_export", self.run_once, every_s=POLL_S)

    @property
    def state(self) -> ExportState:
        return ExportState(
            sends=self._sent_id is not None, sent_id=self._sent_id or 0, reason=self._reason or self._task.problem
        )

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        """Ends the current attempt and releases the lease. Idempotent."""
        await self._task.stop()
        await self._sender.close()
        if self._sent_id is None:
            return
        self._sent_id = None
        try:
            async with self._database.connection() as db:
                await store.release(db, self._destination.name, self._region_id)
        except DatabaseUnavailable:
            return  # the lease lapses

    async def take_over(self, dead_id: UUID) -> None:
        """Releases the lease of a region process that is known to be dead, and continues in its place. Idempotent."""
        async with self._database.connection() as db:
            await store.release(db, self._destination.name, dead_id)
        self._task.wake()

    def wake(self) -> None:
        """Sends new entries now, unless another region sends, or the destination has failed: then the pause lasts."""
        if self._sent_id is not None and not self._failures:
            self._task.wake()

    async def run_once(self) -> NextRoundIn:
        """Sends one batch. Returns the time until the next. Raises DatabaseUnavailable."""
        await self._repeat_doubtful()
        sent_id = await self._position()
        if sent_id is None:
            return NextRoundIn(LEASE_S / 4)
        async with self._database.connection() as db:
            entries = await trail.raw_entries(db, after_id=sent_id, limit=self._batch)
            if entries and entries[0].id > sent_id + 1:
                _report_gap(sent_id, await store.pruned_id(db))
        if not entries:
            return NextRoundIn(POLL_S)
        try:
            reason = await self._send(entries)
        except Doubtful as error:
            log.warning("audit_export_repeated", reason=str(error), after_id=error.after_id, sent_id=self._sent_id)
            self._doubtful_after_id = error.after_id
            return NextRoundIn(0.0)
        except TooManyEntries as error:
            if len(entries) > 1:
                self._batch = len(entries) // 2
                return NextRoundIn(0.0)
            reason = str(error)
        if reason is not None:
            return self._failed(reason)
        await self._record(sent_id, entries[-1].id)
        self._succeeded()
        more = len(entries) == self._batch
        self._batch = min(self._batch * 2, self._largest_batch)  # the entries that were too large together are past
        return NextRoundIn(0.0 if more else POLL_S)

    async def _send(self, entries: Sequence[RawEntry]) -> str | None:
        """Returns why the destination has not taken the entries; None if it has. Raises TooManyEntries and Doubtful."""
        try:
            async with asyncio.timeout(SEND_DEADLINE_S):
                await self._sender.send(entries)
        except (TooManyEntries, Doubtful):
            raise
        except NotSent as error:
            return str(error)
        except TimeoutError:
            await self._sender.close()
            return f"{self._destination.name} has not taken the entries for {SEND_DEADLINE_S:.0f} s"
        return None

    async def _position(self) -> int | None:
        """Returns the id of the last entry that was sent; None while another region sends."""
        if self._sent_id is not None and self._clock() < self._renew_at:
            return self._sent_id
        began_at = self._clock()
        async with self._database.connection() as db:
            self._sent_id = await store.lease(db, self._destination.name, self._region_id, LEASE_S)
        self._renew_at = began_at + LEASE_S / 4
        return self._sent_id

    async def _repeat_doubtful(self) -> None:
        """Moves the position back, whoever holds the lease now. Repeated until the database has it."""
        if self._doubtful_after_id is None:
            return
        self._sent_id = None
        async with self._database.connection() as db:
            await store.move_back(db, self._destination.name, self._doubtful_after_id)
        self._doubtful_after_id = None

    async def _record(self, before_id: int, sent_id: int) -> None:
        """A position that is not recorded, since the database or the lease is lost, is sent again."""
        self._sent_id = None
        async with self._database.connection() as db:
            if await store.record(db, self._destination.name, self._region_id, before_id, sent_id):
                self._sent_id = sent_id

    def _failed(self, reason: str) -> NextRoundIn:
        self._failures += 1
        pause_s = min(LONGEST_PAUSE_S, 2.0 ** min(self._failures - 1, 10))
        if reason != self._reason or pause_s == LONGEST_PAUSE_S:
            log.error("audit_export_failed", reason=reason, sent_id=self._sent_id, retry_in_s=pause_s)
        self._reason = reason
        return NextRoundIn(pause_s)

    def _succeeded(self) -> None:
        if self._failures:
            log.info("audit_export_resumed", destination=self._destination.name, sent_id=self._sent_id)
        self._failures, self._reason = 0, None


def _report_gap(sent_id: int, pruned_id: int) -> None:
    """Logs entries that the retention has deleted before they were sent."""
    if pruned_id > sent_id:
        log.error("audit_export_incomplete", first_id=sent_id + 1, last_id=pruned_id, reason="deleted by retention")
