"""Looks at every host again and again: in turn, by one region process a host, and soon after an event asks for it.

A periodic refresh is no operation (docs/decisions/0002): it reads, so there is nothing to resume, and its row would be
the only thing that it writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from common.errors import DatabaseUnavailable, InnkeeperError
from regiond.db.pool import Database
from regiond.hosts import schedule_store
from regiond.hosts.refresh import Refresher

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

AT_ONCE = 8
LOOK_EVERY_S = 1.0
AFTER_EVENT_S = 1.0


class RefreshSchedule:
    """`every_s` is the time between two looks at one host, give or take a quarter."""

    def __init__(self, database: Database, refresher: Refresher, *, every_s: float) -> None:
        self._database = database
        self._refresher = refresher
        self._every_s = every_s
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._loop = asyncio.create_task(self._go())

    async def stop(self) -> None:
        tasks = [*self._running, *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def soon(self, host_id: int) -> None:
        """An event says that something changed; several within a second make one refresh."""
        async with self._database.connection() as db:
            await schedule_store.refresh_soon(db, host_id, AFTER_EVENT_S)

    async def within(self, host_ids: Iterable[int], seconds: float) -> None:
        """Look at these in so many seconds, unless they are looked at before."""
        async with self._database.connection() as db:
            await schedule_store.refresh_all_soon(db, host_ids, seconds)

    async def _go(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            room = AT_ONCE - len(self._running)
            if room <= 0:
                continue
            try:
                async with self._database.connection() as db:
                    due = await schedule_store.take_due(db, self._every_s, room)
            except DatabaseUnavailable:
                continue  # said by whoever asked the database for something
            except Exception:
                log.exception("taking_due_hosts_hit_a_bug")  # the next round may do better; none would be worse
                continue
            for host_id in due:
                task = asyncio.create_task(self._refresh(host_id))
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def _refresh(self, host_id: int) -> None:
        try:
            await self._refresher.refresh(host_id)
        except InnkeeperError as error:
            log.info("periodic_refresh_failed", host=host_id, code=error.code, because=error.message)
        except Exception:
            log.exception("periodic_refresh_hit_a_bug", host=host_id)
