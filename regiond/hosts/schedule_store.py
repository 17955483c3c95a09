"""The rows that say when each host was looked at, and when it is next."""

from __future__ import annotations

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
_SOON = """
    update vm_host_schedule set next_refresh_at = now() + make_interval(secs => $2)
     where host_id = $1 and next_refresh_at > now() + make_interval(secs => $2)
"""


async def take_due(db: Db, every_s: float, limit: int) -> list[int]:
    """Hosts whose periodic refresh is due, taken by the caller: the next is `every_s` away, give or take a quarter."""
    return [row["host_id"] for row in await db.fetch(_DUE, every_s, limit)]


async def set_refreshed(db: Db, host_id: int) -> None:
    await db.execute(_REFRESHED, host_id)


async def refresh_soon(db: Db, host_id: int, within_s: float) -> None:
    await db.execute(_SOON, host_id, within_s)
