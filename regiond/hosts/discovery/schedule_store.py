"""Rows of the refresh schedule: when each host was refreshed, and when it is due next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regiond.db.pool import Db

# Taking a host sets its next time, so that only one region refreshes it.
_TAKE_DUE = """
    update vm_host_schedule v set next_refresh_at = now() + make_interval(secs => $1 * (0.75 + random() / 2))
     where host_id in (select host_id from vm_host_schedule s join vm_host h on h.id = s.host_id
                        where s.next_refresh_at <= now() and h.state <> 'removing'
                        order by s.next_refresh_at limit $2 for update of s skip locked)
    returning host_id
"""
_REFRESHED = "update vm_host_schedule set refreshed_at = now() where host_id = $1"
# Regions that do the same at once lock the rows in one order and cannot deadlock.
_SCHEDULE_WITHIN = """
    with later as (
        select host_id from vm_host_schedule
         where host_id = any($1::integer[]) and next_refresh_at > now() + make_interval(secs => $2)
         order by host_id for no key update
    )
    update vm_host_schedule v set next_refresh_at = now() + make_interval(secs => $2)
      from later where v.host_id = later.host_id
"""


async def take_due(db: Db, every_s: float, limit: int) -> list[int]:
    """Takes at most `limit` hosts that are due. Each is due again after `every_s`, plus or minus a quarter."""
    return [row["host_id"] for row in await db.fetch(_TAKE_DUE, every_s, limit)]


async def database_time(db: Db) -> datetime:
    """Returns the time now, the same for all regions, also inside a transaction."""
    now: datetime = await db.fetchval("select clock_timestamp()")
    return now


async def set_refreshed(db: Db, host_id: int) -> None:
    """Records that a discovery run was applied now."""
    await db.execute(_REFRESHED, host_id)


async def refresh_within(db: Db, host_ids: Iterable[int], seconds: float) -> None:
    """Moves the next refresh of these hosts to at most `seconds` from now. Idempotent."""
    await db.execute(_SCHEDULE_WITHIN, list(host_ids), seconds)
