"""The rows that say when each host was looked at, and when it is next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regiond.db.pool import Db

# A host is due when its time has come; taking it sets the next time, so that one region refreshes it.
_DUE = """
    update vm_host_schedule v set next_refresh_at = now() + make_interval(secs => $1 * (0.75 + random() / 2))
     where host_id in (select host_id from vm_host_schedule s join vm_host h on h.id = s.host_id
                        where s.next_refresh_at <= now() and h.state <> 'removing'
                        order by s.next_refresh_at limit $2 for update of s skip locked)
    returning host_id
"""
_REFRESHED = "update vm_host_schedule set refreshed_at = now() where host_id = $1"
# Several regions may do the same: locked in one order, so that nobody waits in a circle.
_SOON = """
    with later as (
        select host_id from vm_host_schedule
         where host_id = any($1::integer[]) and next_refresh_at > now() + make_interval(secs => $2)
         order by host_id for no key update
    )
    update vm_host_schedule v set next_refresh_at = now() + make_interval(secs => $2)
      from later where v.host_id = later.host_id
"""


async def take_due(db: Db, every_s: float, limit: int) -> list[int]:
    """Hosts whose periodic refresh is due, taken by the caller: the next is `every_s` away, give or take a quarter."""
    return [row["host_id"] for row in await db.fetch(_DUE, every_s, limit)]


async def set_refreshed(db: Db, host_id: int) -> None:
    await db.execute(_REFRESHED, host_id)


async def refresh_soon(db: Db, host_id: int, within_s: float) -> None:
    await refresh_all_soon(db, [host_id], within_s)


async def refresh_all_soon(db: Db, host_ids: Iterable[int], within_s: float) -> None:
    await db.execute(_SOON, list(host_ids), within_s)
