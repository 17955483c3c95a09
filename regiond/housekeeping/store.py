"""Corrects timestamps that lie in the future because the database's clock was set back."""

from __future__ import annotations

from datetime import datetime

from regiond.db.pool import Db

_NOW = "select clock_timestamp()"
# One minute is longer than any retry delay or lease. Without the case, `least` would turn a missing lease (null) into
# one that no region holds.
_OPERATIONS = """
    update operation
       set not_before = least(not_before, now()),
           lease_until = case when lease_until is not null then least(lease_until, now() + interval '15 seconds') end
     where is_open
       and (not_before > now() + interval '1 minute' or lease_until > now() + interval '1 minute')
"""
# A live region writes its row again within ten seconds; a dead one counts as dead after 30 s.
_REGIONS = "update region_process set seen_at = now() where seen_at > now() + interval '10 seconds'"
_SCHEDULE = """
    update vm_host_schedule set next_refresh_at = now()
     where next_refresh_at > now() + make_interval(secs => 1.25 * $1 + 60)
"""
_MACHINES = "update machine set settled_at = now() where settled_at > now() + interval '10 seconds'"
_TOMBSTONES = "update tombstone set recorded_at = now() where recorded_at > now() + interval '10 seconds'"


async def now(db: Db) -> datetime:
    """Returns the database's clock."""
    found: datetime = await db.fetchval(_NOW)
    return found


async def clamp_future_timestamps(db: Db, refresh_every_s: float) -> int:
    """Moves timestamps that would delay something by more than its normal interval to now.

    Returns the number of rows changed. Idempotent.
    """
    statuses = [
        await db.execute(_OPERATIONS),
        await db.execute(_REGIONS),
        await db.execute(_SCHEDULE, refresh_every_s),
        await db.execute(_MACHINES),
        await db.execute(_TOMBSTONES),
    ]
    return sum(int(status.rpartition(" ")[2]) for status in statuses)
