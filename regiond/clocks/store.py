"""Moments in rows that a database's clock which went back has made future, and that something waits for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regiond.db.pool import Db

_NOW = "select clock_timestamp()"
# Further ahead than any waiting time or lease of ours: written before the clock went back. Without a lease, `least`
# would make one up that nobody holds.
_OPERATIONS = """
    update operation
       set not_before = least(not_before, now()),
           lease_until = case when lease_until is not null then least(lease_until, now() + interval '15 seconds') end
     where state in ('queued', 'running', 'waiting', 'undoing')
       and (not_before > now() + interval '1 minute' or lease_until > now() + interval '1 minute')
"""
# One that lives says so again within ten seconds; one that is dead is taken for dead half a minute from now.
_REGIONS = "update region_process set seen_at = now() where seen_at > now() + interval '10 seconds'"
_SCHEDULE = """
    update vm_host_schedule set next_refresh_at = now()
     where next_refresh_at > now() + make_interval(secs => 1.25 * $1 + 60)
"""
_MACHINES = "update machine set settled_at = now() where settled_at > now() + interval '10 seconds'"
_TOMBSTONES = "update tombstone set given_up_at = now() where given_up_at > now() + interval '10 seconds'"


async def now(db: Db) -> datetime:
    """The database's clock."""
    found: datetime = await db.fetchval(_NOW)
    return found


async def end_futures(db: Db, refresh_every_s: float) -> int:
    """Nothing waits for a moment that was near before the clock went back. How many rows were; harmless again."""
    done = [
        await db.execute(_OPERATIONS),
        await db.execute(_REGIONS),
        await db.execute(_SCHEDULE, refresh_every_s),
        await db.execute(_MACHINES),
        await db.execute(_TOMBSTONES),
    ]
    return sum(int(one.rpartition(" ")[2]) for one in done)
