"""Checks uploaded files; deletes expired and abandoned ones, and what a crash left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from attrs import frozen

from common.process.periodic import AFTER_START_S, PeriodicTask
from regiond.db.pool import Database
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.exports import store
from regiond.exports.archive import Stopped, checked
from regiond.exports.model import BadExport, Export, ExportState
from regiond.exports.writing import Space

CHECK_EVERY_S = 60.0  # normally woken; the period is for uploads of a region that has died
CLEAN_UP_EVERY_S = 600.0
MISSING = "Its file is missing in the region's folder."

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


@frozen(kw_only=True)
class ExportUpkeep:
    database: Database
    space: Space

    async def check(self) -> None:
        """Checks the complete uploads, one after the other. Idempotent: repeats interrupted checks."""
        async with self.database.connection() as db:
            waiting = await store.in_state(db, self.space.store_id, ExportState.CHECKING)
        for found in waiting:
            try:
                await self._check(found)
            except Stopped:
                return

    async def _check(self, found: Export) -> None:
        path, threads = self.space.folder.path(found.file), self.space.threads
        try:
            described = await threads.run(
                partial(checked, path, sha256=found.sha256, is_stopped=threads.is_stopped)
            )  # fmt: skip
        except (BadExport, FileNotFoundError) as error:
            await self._fail(found, str(error) if isinstance(error, BadExport) else MISSING)
            return
        async with self.database.transaction() as db:
            if await store.set_checked(db, found.id, described, keep_days=self.space.limits.keep_days):
                message = f"The uploaded file {found.name} can be imported: the VM {described.hostname}."
                await Events.record(db, "export_ready", message, account_id=found.account_id, username=found.owner)
        log.info("export_checked", export=found.id, size_bytes=found.size_bytes)

    async def _fail(self, found: Export, reason: str) -> None:
        async with self.database.transaction() as db:
            if await store.set_failed(db, found.id, reason):
                message = f"The file {found.name} cannot be imported: {reason}"
                await Events.record(
                    db, "export_failed", message, level=Level.WARNING, account_id=found.account_id, username=found.owner
                )  # fmt: skip
        await self.space.threads.run(partial(self.space.folder.remove, found.file))
        log.warning("export_failed", export=found.id, reason=reason)

    async def clean_up(self) -> None:
        """Runs one round. Idempotent."""
        folder, threads = self.space.folder, self.space.threads
        async with self.database.transaction() as db:
            for one in await store.expire(db):
                message = f"The file of the VM {one.name} has expired and was deleted."
                await Events.record(db, "export_expired", message, account_id=one.account_id)
                log.info("export_expired", export=one.id)
            for one in await store.delete_abandoned(db):
                message = f"The file of the VM {one.name} was deleted: its export has ended without completing it."
                await Events.record(db, "export_deleted", message, account_id=one.account_id)
                log.info("export_abandoned", export=one.id)
        found = await threads.run(folder.files)  # before the rows: a file is made after its row names it
        async with self.database.connection() as db:
            needed = await store.needed_of(db, self.space.store_id, found)
            ready = await store.in_state(db, self.space.store_id, ExportState.READY)
        for file in sorted(found - needed):
            await threads.run(partial(folder.remove, file))
            log.info("export_file_removed", file=file)
        for entry in ready:
            if not await threads.run(partial(folder.has, entry.file, entry.size_bytes)):
                await self._fail(entry, MISSING)


class ExportTasks:
    """Runs the upkeep."""

    def __init__(self, upkeep: ExportUpkeep, stop_threads: Callable[[], Awaitable[None]]) -> None:
        self.upkeep = upkeep
        self._stop_threads = stop_threads
        self._checks = PeriodicTask("export_checks", upkeep.check, every_s=CHECK_EVERY_S)
        self._cleanup = PeriodicTask(
            "export_cleanup", upkeep.clean_up, every_s=CLEAN_UP_EVERY_S, first_after_s=AFTER_START_S
        )

    def wake_checks(self) -> None:
        self._checks.wake()

    def wake_cleanup(self) -> None:
        self._cleanup.wake()

    def start(self) -> None:
        self._checks.start()
        self._cleanup.start()

    async def stop(self) -> None:
        """Interrupts a check, which begins again at the next start."""
        await asyncio.gather(self._stop_threads(), self._checks.stop(), self._cleanup.stop())
