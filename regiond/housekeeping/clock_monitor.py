"""Detects clock jumps and skew between the database and this computer, and corrects rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import structlog

from common.trust.certificates import utc_now
from regiond.db.pool import Database, Db
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.housekeeping.model import ClockReading, database_step_s, skew_message, skew_s, step_message

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_QUERY_S = 2.0  # a slower response does not say when the database read its clock

_NOW = "select clock_timestamp()"
# One minute is longer than any retry delay or lease. Without the case, `least` would turn a missing lease (null) into
# one that no region holds.
_OPERATIONS = """
    update operation
       set not_before = least(not_before, now()),
           lease_until = case when lease_until is not null then least(lease_until, now() + interval '15 seconds') end
     where is_open
       and (not_before > now() + interval '1 minute' or lease_until > now() + interval '1 minute')
"""
# A live region writes its row again within ten seconds; a dead one counts as dead after 30 s.
_REGIONS = "update region_process set seen_at = now() where seen_at > now() + interval '10 seconds'"
_SCHEDULE = """
    update vm_host_schedule set next_refresh_at = now()
     where next_refresh_at > now() + make_interval(secs => 1.25 * $1 + 60)
"""
_MACHINES = "update machine set settled_at = now() where settled_at > now() + interval '10 seconds'"
_TOMBSTONES = "update tombstone set recorded_at = now() where recorded_at > now() + interval '10 seconds'"


class ClockMonitor:
    """Leases, retry times and refresh times use the database's clock; signatures and certificates this computer's.

    `monotonic` and `computer` are clocks, for tests.
    """

    def __init__(
        self,
        database: Database,
        *,
        refresh_every_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        computer: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._refresh_every_s = refresh_every_s
        self._monotonic = monotonic
        self._computer = computer
        self._last: ClockReading | None = None
        self._skew_s = 0.0  # as last recorded; 0 after a check without one

    async def check(self) -> None:
        """Compares with the last reading, records changes as events and clamps timestamps after a step back.

        The first check clamps too, because the clock may have been set back while no region ran. Raises
        DatabaseUnavailable; the next check then compares with the same reading again.
        """
        reading = await self._read()
        if reading is None:
            return
        step_s = database_step_s(self._last, reading) if self._last else 0.0
        if self._last is None or step_s < 0:
            clamped = await self._database.in_transaction(
                lambda db: _clamp_future_timestamps(db, self._refresh_every_s)
            )
            if clamped:
                log.warning("future_timestamps_clamped", rows=clamped, clock_set_back_s=-step_s or None)
        if step_s:
            await self._record("database_clock_set", step_message(step_s))
        ahead_s = skew_s(reading)
        if not ahead_s:
            self._skew_s = 0.0
        elif ahead_s * self._skew_s <= 0:  # the first, or in the other direction
            await self._record("clock_skewed", skew_message(ahead_s))
            self._skew_s = ahead_s
        self._last = reading  # only now: whatever could not be written is repeated by the next check

    async def _read(self) -> ClockReading | None:
        started_s = self._monotonic()
        async with self._database.connection() as db:
            sent_s = self._monotonic()
            database_at = await _now(db)
        received_s = self._monotonic()
        if received_s - sent_s > MAX_QUERY_S or started_s > sent_s:
            return None
        return ClockReading(database_at=database_at, computer_at=self._computer(), monotonic_s=received_s)

    async def _record(self, kind: str, message: str) -> None:
        log.warning("clock_problem", kind=kind, reason=message)

        async def record(db: Db) -> None:
            await Events.record(db, kind, message, level=Level.WARNING)

        await self._database.in_transaction(record)


async def _now(db: Db) -> datetime:
    """Returns the database's clock."""
    found: datetime = await db.fetchval(_NOW)
    return found


async def _clamp_future_timestamps(db: Db, refresh_every_s: float) -> int:
    """Moves timestamps that would delay something by more than its normal interval to now.

    Returns the number of rows changed. Idempotent.
    """
    statuses = [
        await db.execute(_OPERATIONS),
        await db.execute(_REGIONS),
        await db.execute(_SCHEDULE, refresh_every_s),
        await db.execute(_MACHINES),
        await db.execute(_TOMBSTONES),
    ]
    return sum(int(status.rpartition(" ")[2]) for status in statuses)
