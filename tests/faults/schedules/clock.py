"""The database's clock, as far as anything waits for it: it stands still until the schedule lets time pass."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from regiond.db.pool import Db

FAR = datetime(2100, 1, 1, tzinfo=UTC)

# Pauses and leases that have not ended end in an hour; the living region is seen. What is due is due by its number.
_HOLD = """
    with seen as (update region_process set seen_at = now() where id = $1 and seen_at < now() - interval '5 seconds')
    update operation
       set not_before = case when not_before > now() then now() + interval '1 hour'
                             else now() - interval '60 seconds' + id * interval '1 millisecond' end,
           lease_until = case when lease_until > now() then now() + interval '1 hour' else lease_until end
     where state in ('queued', 'running', 'waiting', 'undoing')
"""
_GO_BY = """
    with gone as (update region_process set seen_at = seen_at - interval '1 hour' where id <> $1)
    update operation
       set not_before = now() - interval '60 seconds' + id * interval '1 millisecond',
           lease_until = case when lease_owner = $1 and id = any($2::bigint[]) then lease_until
                              when lease_until is not null then now() - interval '1 second' end
     where state in ('queued', 'running', 'waiting', 'undoing')
"""
_DUE = """
    select id from operation
     where state in ('queued', 'running', 'waiting', 'undoing') and not_before <= now()
       and (lease_until is null or lease_until < now())
     order by id
"""
_FIRST = "update operation set not_before = now() - interval '1 day' where id = $1"
_LAPSE = "update operation set lease_until = now() - interval '1 second', not_before = now() where id = $1"


async def hold(db: Db, owner: UUID) -> None:
    await db.execute(_HOLD, owner)


async def pass_time(db: Db, owner: UUID, renewed: Iterable[int]) -> None:
    """Every pause is over; leases have lapsed, but for those that a living region renews; the others are dead."""
    await db.execute(_GO_BY, owner, list(renewed))


async def due(db: Db) -> list[int]:
    return [row["id"] for row in await db.fetch(_DUE)]


async def first(db: Db, operation_id: int) -> None:
    """It is the one that has been due for longest."""
    await db.execute(_FIRST, operation_id)


async def lapse(db: Db, operation_id: int) -> None:
    """Whoever holds it holds it no more, and it is due."""
    await db.execute(_LAPSE, operation_id)
