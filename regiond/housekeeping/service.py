"""Runs the region's periodic tasks: clocks, retention, certificate expiry, counts in memory, unused copies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from common.process.periodic import AFTER_START_S, PeriodicTask
from regiond.housekeeping.clock_monitor import ClockMonitor
from regiond.housekeeping.retention import Retention

CHECK_CLOCKS_EVERY_S = 10.0
PRUNE_EVERY_S = 6 * 3600.0
REPORT_EXPIRY_EVERY_S = 6 * 3600.0
COLLECT_COPIES_EVERY_S = 600.0
WRITE_KEY_USE_EVERY_S = 60.0
WRITE_REPEATED_EVERY_S = 60.0


class Housekeeping:
    """`prune_events` deletes old events; `report_expiry` records certificates that expire soon; `collect_image_copies`
    removes copies of images that no deployment uses any more. All are idempotent.

    `write_key_use` writes which API keys were used since its last call, `write_repeated` which rejected requests were
    repeated; this one is called at the end too.
    """

    def __init__(
        self,
        clock_monitor: ClockMonitor,
        retention: Retention,
        *,
        write_key_use: Callable[[], Awaitable[object]],
        write_repeated: Callable[[], Awaitable[object]],
        prune_events: Callable[[], Awaitable[object]],
        prune_audit: Callable[[], Awaitable[object]],
        report_expiry: Callable[[], Awaitable[object]],
        collect_image_copies: Callable[[], Awaitable[object]],
    ) -> None:
        self.retention = retention
        self._write_repeated = write_repeated
        self._tasks = (
            PeriodicTask("clock_monitor", clock_monitor.check, every_s=CHECK_CLOCKS_EVERY_S),
            PeriodicTask("key_use", write_key_use, every_s=WRITE_KEY_USE_EVERY_S, first_after_s=WRITE_KEY_USE_EVERY_S),
            PeriodicTask(
                "repeated_rejections",
                write_repeated,
                every_s=WRITE_REPEATED_EVERY_S,
                first_after_s=WRITE_REPEATED_EVERY_S,
            ),
            PeriodicTask("event_retention", prune_events, every_s=PRUNE_EVERY_S, first_after_s=AFTER_START_S),
            PeriodicTask("audit_retention", prune_audit, every_s=PRUNE_EVERY_S, first_after_s=AFTER_START_S),
            PeriodicTask("retention", retention.prune, every_s=PRUNE_EVERY_S, first_after_s=AFTER_START_S),
            PeriodicTask(
                "certificate_expiry", report_expiry, every_s=REPORT_EXPIRY_EVERY_S, first_after_s=AFTER_START_S
            ),
            PeriodicTask(
                "image_copies",
                collect_image_copies,
                every_s=COLLECT_COPIES_EVERY_S,
                first_after_s=COLLECT_COPIES_EVERY_S,
            ),
        )

    def start(self) -> None:
        for task in self._tasks:
            task.start()

    async def stop(self) -> None:
        await asyncio.gather(*(task.stop() for task in self._tasks))
        await self._write_repeated()
