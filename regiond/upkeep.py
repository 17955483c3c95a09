"""What a region does once in a while, whatever else it is about."""

from __future__ import annotations

import asyncio

import structlog

from common.errors import DatabaseUnavailable
from regiond.db.pool import Database
from regiond.events.service import Events
from regiond.hosts.expiry import LOOK_EVERY_S, tell_expiring

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

PRUNE_EVERY_S = 6 * 3600.0


async def prune_events(events: Events) -> None:
    """For ever."""
    while True:
        try:
            await events.prune()
        except DatabaseUnavailable as error:
            log.info("events_not_pruned", because=error.message)
        await asyncio.sleep(PRUNE_EVERY_S)


async def watch_expiry(database: Database) -> None:
    """For ever."""
    while True:
        try:
            await tell_expiring(database)
        except DatabaseUnavailable as error:
            log.info("expiry_not_watched", because=error.message)
        await asyncio.sleep(LOOK_EVERY_S)
