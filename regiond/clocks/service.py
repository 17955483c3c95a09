"""Watches the clocks that leases, waiting times and signatures go by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from common.certificates import utc_now
from common.errors import DatabaseUnavailable
from regiond.clocks import store
from regiond.clocks.model import Reading, database_step_s, skew_s, skew_text, step_text
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events

if TYPE_CHECKING:
    from regiond.db.pool import Db

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LOOK_EVERY_S = 10.0
SLOW_S = 2.0  # an answer that took this long tells no moment


class ClockWatch:
    """Looks every 10 s from `start` to `stop`. At its first look it takes the clock for one that may have gone back."""

    def __init__(
        self,
        database: Database,
        *,
        refresh_every_s: float,
        steady: Callable[[], float] = time.monotonic,
        machine: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._refresh_every_s = refresh_every_s
        self._steady = steady
        self._machine = machine
        self._last: Reading | None = None
        self._skewed = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._go(), name="clocks")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Compare, and set right what would wait for the time that is missing. Raises DatabaseUnavailable."""
        reading = await self._read()
        if reading is None:
            return
        step_s = database_step_s(self._last, reading) if self._last else 0.0
        if self._last is None or step_s < 0:
            ended = await self._database.in_transaction(lambda db: store.end_futures(db, self._refresh_every_s))
            if ended:
                log.warning("futures_ended", rows=ended, clock_went_back_s=-step_s or None)
        if step_s:
            await self._tell("database_clock_set", step_text(step_s))
        ahead_s = skew_s(reading)
        if ahead_s and not self._skewed:
            await self._tell("clock_skewed", skew_text(ahead_s))
        self._skewed = bool(ahead_s)
        self._last = reading  # at the end: what could not be written is done at the next look

    async def _read(self) -> Reading | None:
        before_s = self._steady()
        async with self._database.connection() as db:
            asked_s = self._steady()
            database_at = await store.now(db)
        steady_s = self._steady()
        if steady_s - asked_s > SLOW_S or before_s > asked_s:
            return None
        return Reading(database_at=database_at, machine_at=self._machine(), steady_s=steady_s)

    async def _tell(self, kind: str, message: str) -> None:
        log.warning(kind, because=message)

        async def record(db: Db) -> None:
            await Events.record(db, kind, message, level=Level.WARNING)

        await self._database.in_transaction(record)

    async def _go(self) -> None:
        while True:
            try:
                await self.look()
            except DatabaseUnavailable:
                pass  # said by whoever asked it for something; the next look compares with the last that was
            except Exception:
                log.exception("looking_at_clocks_hit_a_bug")  # the next look may do better; none would be worse
            await asyncio.sleep(LOOK_EVERY_S)
