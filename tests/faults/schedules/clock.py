"""Controls the database's clock by moving deadlines: time passes only when the schedule says so."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from regiond.db.pool import Db

FAR = datetime(2100, 1, 1, tzinfo=UTC)

# Pending pauses and leases end in an hour, and the region stays alive. Due operations are ordered by id.
_HOLD = """
    with alive as (update region_process set seen_at = now() where id = $1 and seen_at < now() - interval '5 seconds')
    update operation
       set not_before = case when not_before > now() then now() + interval '1 hour'
                             else now() - interval '60 seconds' + id * interval '1 millisecond' end,
           lease_until = case when lease_until > now() then now() + interval '1 hour' else lease_until end
     where is_open
"""
# All that limits waits becomes older: when racks were seen, and when open operations began their steps.
_ADVANCE = """
    with gone as (update region_process set seen_at = seen_at - interval '1 hour' where id <> $1),
    racks as (update rack set seen_at = seen_at - interval '1 hour'),
    steps as (
        update operation_log l set at = l.at - interval '1 hour'
          from operation o where o.id = l.operation_id and o.is_open
    )
    update operation
       set not_before = now() - interval '60 seconds' + id * interval '1 millisecond',
           lease_until = case when lease_owner = $1 and id = any($2::bigint[]) then lease_until
                              when lease_until is not null then now() - interval '1 second' end
     where is_open
"""
_DUE = """
    select id from operation
     where is_open and not_before <= now()
       and (lease_until is null or lease_until < now())
     order by id
"""
_ENDED = "select id from operation where id = any($1::bigint[]) and not is_open"
_FIRST = "update operation set not_before = now() - interval '1 day' where id = $1"
_EXPIRE_LEASE = "update operation set lease_until = now() - interval '1 second', not_before = now() where id = $1"


async def hold(db: Db, owner: UUID) -> None:
    await db.execute(_HOLD, owner)


async def pass_time(db: Db, owner: UUID, renewed: Iterable[int]) -> None:
    """Ends all pauses, all waits for older calls and all leases except `renewed`, and lets other regions die."""
    await db.execute(_ADVANCE, owner, list(renewed))


async def due(db: Db) -> list[int]:
    return [row["id"] for row in await db.fetch(_DUE)]


async def ended(db: Db, operation_ids: Iterable[int]) -> frozenset[int]:
    """Those of the operations that have ended."""
    return frozenset(row["id"] for row in await db.fetch(_ENDED, list(operation_ids)))


async def first(db: Db, operation_id: int) -> None:
    """Makes the operation the next one to run."""
    await db.execute(_FIRST, operation_id)


async def expire_lease(db: Db, operation_id: int) -> None:
    """Ends the operation's lease and makes it due."""
    await db.execute(_EXPIRE_LEASE, operation_id)
