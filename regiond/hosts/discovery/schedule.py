"""Refreshes every host periodically and soon after an event, each by one region.

A periodic refresh is not an operation (docs/decisions/0002), because it has nothing to resume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID

import structlog

from common.errors import InnkeeperError
from common.process.periodic import PeriodicTask
from regiond.db.pool import Database
from regiond.hosts import schedule_store
from regiond.hosts.discovery.refresh import Refresher

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_CONCURRENT = 8
CHECK_EVERY_S = 1.0


class RefreshSchedule:
    """The periodic task. `every_s` is the time between two refreshes of a host, plus or minus a quarter."""

    def __init__(self, database: Database, refresher: Refresher, *, every_s: float, region_id: UUID) -> None:
        self._database = database
        self._refresher = refresher
        self._every_s = every_s
        self._region_id = region_id
        self._running: set[asyncio.Task[None]] = set()
        self._task = PeriodicTask(
            "refresh_schedule", self._start_due, every_s=CHECK_EVERY_S, first_after_s=CHECK_EVERY_S
        )

    @property
    def refresher(self) -> Refresher:
        """The Refresher that runs each scheduled refresh."""
        return self._refresher

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        """Cancels the refreshes that run. Idempotent."""
        await self._task.stop()
        tasks = tuple(self._running)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def tick(self) -> None:
        """Refreshes hosts that are due now, as the running schedule does; returns when these refreshes have ended."""
        await self._start_due()
        await asyncio.gather(*self._running)

    async def request_refresh(self, host_id: int) -> None:
        """Requests a refresh after an event: at once, but only a second after another one has ended.

        Several requests within that time make one refresh.
        """
        async with self._database.connection() as db:
            due_in_s = await schedule_store.refresh_after_event(db, host_id)
        if due_in_s is not None:
            asyncio.get_running_loop().call_later(due_in_s, self._task.wake)

    async def request_refresh_within(self, host_ids: Iterable[int], seconds: float) -> None:
        """Requests a refresh of these hosts in at most that many seconds. An earlier one stays."""
        async with self._database.connection() as db:
            await schedule_store.refresh_within(db, host_ids, seconds)

    async def _start_due(self) -> None:
        free = MAX_CONCURRENT - len(self._running)
        if free <= 0:
            return
        async with self._database.connection() as db:
            due = await schedule_store.take_due(db, self._every_s, free, self._region_id)
        for host_id in due:
            task = asyncio.create_task(self._refresh(host_id))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _refresh(self, host_id: int) -> None:
        try:
            await self._refresher.refresh(host_id)
        except InnkeeperError as error:
            log.info("periodic_refresh_rejected", host_id=host_id, code=error.code, reason=error.message)
        except Exception:
            log.exception("periodic_refresh_failed", host_id=host_id)
