"""Runs the checks and the cleanup of images."""

from __future__ import annotations

import asyncio

from common.periodic import PeriodicTask
from regiond.images.file_threads import FileThreads
from regiond.images.upkeep import ImageChecks, ImageCleanup

CHECK_EVERY_S = 60.0  # normally woken: this is for another region's uploads after it died
CLEAN_UP_EVERY_S = 600.0


class ImageTasks:
    def __init__(self, checks: ImageChecks, cleanup: ImageCleanup, threads: FileThreads) -> None:
        self._threads = threads
        self._clean_up = cleanup.run
        self._checks = PeriodicTask("image_checks", checks.run, every_s=CHECK_EVERY_S)
        self._cleanup = PeriodicTask("image_cleanup", cleanup.run, every_s=CLEAN_UP_EVERY_S)

    def wake_checks(self) -> None:
        self._checks.wake()

    def wake_cleanup(self) -> None:
        self._cleanup.wake()

    async def clean_up(self) -> None:
        """Does now what is done periodically, and returns when it is done."""
        await self._clean_up()

    def start(self) -> None:
        self._checks.start()
        self._cleanup.start()

    async def stop(self) -> None:
        """Interrupts a check; the next start begins it again."""
        await asyncio.gather(self._threads.stop(), self._checks.stop(), self._cleanup.stop())
