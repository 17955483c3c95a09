"""Runs the downloads, the checks and the cleanup of images."""

from __future__ import annotations

import asyncio

from common.process.periodic import AFTER_START_S, PeriodicTask
from regiond.images.downloads.service import ROUND_EVERY_S, ImageDownloads
from regiond.images.file_threads import FileThreads
from regiond.images.upkeep import ImageChecks, ImageCleanup

CHECK_EVERY_S = 60.0  # normally woken; the period is for uploads of a region that has died
CLEAN_UP_EVERY_S = 600.0
DOWNLOADS = 2  # at a time


class ImageTasks:
    def __init__(self, checks: ImageChecks, cleanup: ImageCleanup, threads: FileThreads) -> None:
        self._threads = threads
        self._downloads: tuple[PeriodicTask, ...] = ()
        self._download_threads: FileThreads | None = None
        self._clean_up = cleanup.run
        self._checks = PeriodicTask("image_checks", checks.run, every_s=CHECK_EVERY_S)
        self._cleanup = PeriodicTask(
            "image_cleanup", cleanup.run, every_s=CLEAN_UP_EVERY_S, first_after_s=AFTER_START_S
        )

    def add_downloads(self, downloads: ImageDownloads) -> None:
        """Adds downloads, which wake the checks. Call it before `start`."""
        self._download_threads = downloads.threads
        self._downloads = tuple(
            PeriodicTask(f"image_downloads_{number}", downloads.run, every_s=ROUND_EVERY_S)
            for number in range(1, DOWNLOADS + 1)
        )

    def wake_downloads(self) -> None:
        for one in self._downloads:
            one.wake()

    def wake_checks(self) -> None:
        self._checks.wake()

    def wake_cleanup(self) -> None:
        self._cleanup.wake()

    async def clean_up(self) -> None:
        """Runs the periodic cleanup now, and returns when it has ended."""
        await self._clean_up()

    def start(self) -> None:
        self._checks.start()
        self._cleanup.start()
        for one in self._downloads:
            one.start()

    async def stop(self) -> None:
        """Interrupts a check, which begins again at the next start, and downloads, which continue then."""
        await asyncio.gather(*(one.stop() for one in self._downloads))
        if self._download_threads is not None:
            await self._download_threads.stop()
        await asyncio.gather(self._threads.stop(), self._checks.stop(), self._cleanup.stop())
