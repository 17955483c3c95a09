"""Stops using the database when a newer release has migrated it."""

from __future__ import annotations

import asyncio

import structlog

from common.errors import BadSettings, DatabaseUnavailable
from common.process.periodic import PeriodicTask
from regiond.db.migrate import check_schema_version, schema_problem
from regiond.db.pool import Database

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CHECK_EVERY_S = 10.0  # the fallback if the notification was lost


class SchemaVersionMonitor:
    """Checks the schema version every 10 s, and at once on `check`, from `start` to `stop`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._outdated: asyncio.Future[None] | None = None
        self._checking = PeriodicTask("schema_version_check", self._check, every_s=CHECK_EVERY_S)

    def start(self) -> None:
        self._outdated = asyncio.get_running_loop().create_future()
        self._checking.start()

    async def stop(self) -> None:
        await self._checking.stop()

    def check(self) -> None:
        """Checks now: files may have been applied, or notifications lost."""
        self._checking.wake()

    async def problem(self) -> str | None:
        """Returns why this release cannot use the schema; None if it can. Raises DatabaseUnavailable."""
        async with self._database.connection() as db:
            return await schema_problem(db)

    async def outdated(self) -> None:
        """Waits until a newer release has migrated the database, then raises BadSettings.

        By then the database rejects every use.
        """
        if self._outdated is None:
            raise RuntimeError("the monitor was not started")
        await asyncio.shield(self._outdated)

    async def _check(self) -> None:
        if self._outdated is None or self._outdated.done():
            return
        try:
            async with self._database.connection() as db:
                await check_schema_version(db)
        except DatabaseUnavailable:
            return  # reported where the database is needed
        except BadSettings as error:
            self._database.reject_all(error.message)
            log.critical("region_outdated", reason=error.message)
            self._outdated.set_exception(error)
            self._outdated.exception()  # retrieved, so that asyncio does not log it, also if nothing awaits it
