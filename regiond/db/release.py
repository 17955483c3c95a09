"""A region that runs while a newer release migrates its database stops using it: its rows would have an old shape."""

from __future__ import annotations

import asyncio

import structlog

from common.errors import BadSettings, DatabaseUnavailable
from regiond.db.migrate import check_release
from regiond.db.pool import Database

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

LOOK_EVERY_S = 10.0  # the fallback when the notification was lost


class ReleaseWatch:
    """Looks when it is told to, after each reconnection, and every 10 s, from `start` to `stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._look = asyncio.Event()
        self._outdated: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._outdated = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._watch(self._outdated), name="release")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """Files may have been applied: look now."""
        self._look.set()

    async def outdated(self) -> None:
        """Waits; raises BadSettings once a newer release has migrated the database, which is used no more by then."""
        if self._outdated is None:
            raise RuntimeError("the watch was not started")
        await asyncio.shield(self._outdated)

    async def _watch(self, outdated: asyncio.Future[None]) -> None:
        while True:
            self._look.clear()
            try:
                async with self._database.connection() as db:
                    await check_release(db)
            except DatabaseUnavailable:
                pass  # said by whoever asked it for something; the next round looks again
            except BadSettings as error:
                self._database.refuse(error.message)
                log.critical("region_outdated", because=error.message)
                outdated.set_exception(error)
                outdated.exception()  # seen, also where nobody waits for it
                return
            except Exception:
                log.exception("looking_for_newer_releases_hit_a_bug")  # the next round may do better
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._look.wait()
            except TimeoutError:
                pass
