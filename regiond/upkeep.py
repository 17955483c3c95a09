"""What a region does once in a while, whatever else it is about."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from common.errors import DatabaseUnavailable
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.hosts.expiry import LOOK_EVERY_S, tell_expiring

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PRUNE_EVERY_S = 6 * 3600.0


async def prune_events(events: Events) -> None:
    """For ever."""
    await _again_and_again("events_pruned", events.prune, PRUNE_EVERY_S)


async def watch_expiry(database: Database) -> None:
    """For ever."""
    await _again_and_again("expiry_watched", lambda: tell_expiring(database), LOOK_EVERY_S)


async def _again_and_again(what: str, work: Callable[[], Awaitable[object]], pause_s: float) -> None:
    while True:
        try:
            await work()
        except DatabaseUnavailable as error:
            log.info("upkeep_put_off", what=what, because=error.message)
        except Exception:
            log.exception("upkeep_hit_a_bug", what=what)  # the next round may do better; none would be worse
        await asyncio.sleep(pause_s)
