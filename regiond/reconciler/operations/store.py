"""SQL for open operations and hosts that are being removed."""

from __future__ import annotations

from datetime import datetime

from regiond.db.pool import Db
from regiond.reconciler.operations.detection import HostBeingRemoved, OpenOperation

_OPERATIONS = """
    select o.id, o.kind, o.state, o.step, o.host_id, o.host_name, o.system_id, o.hostname, o.lease_until, o.not_before,
           o.created_at as began_at, o.failures,
           case when o.state = 'undoing' then o.error_details ->> 'undo_waits_for' end as undo_fails,
           greatest(o.created_at, o.started_at,
                    (select max(l.at) from operation_log l where l.operation_id = o.id),
                    (select max(l.at) from operation child join operation_log l on l.operation_id = child.id
                      where child.parent_id = o.id)) as progress_at,
           exists (select from rack_reach x join rack_link l on l.rack_id = x.rack_id
                     join rack r on r.id = x.rack_id
                     join vm_host h on h.id = x.host_id and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                     join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                    where x.host_id = o.host_id and x.reaches)
           and not exists (select from operation other
                            where other.host_id = o.host_id and other.id <> o.id and other.lease_until > now()
                              and other.is_open) as could_run,
           exists (select from region_process p
                    where p.id = o.lease_owner and p.seen_at > now() - interval '30 seconds') as owner_lives,
           (select count(*) from region_process p where p.seen_at > now() - interval '30 seconds') as regions
      from operation o
     where o.is_open and ($1::bigint is null or o.id = $1)
     order by o.id
"""
_REMOVING = """
    select h.id, h.name from vm_host h
     where h.state = 'removing' and ($1::integer is null or h.id = $1)
       and not exists (select from operation o
                        where o.host_id = h.id and o.kind = 'remove_host'
                          and o.is_open)
     order by h.id
"""
_LOCK_OPERATION = "select attempt, step from operation where id = $1 for update"
_SET_UNDO = "update operation set reached_host = true, cancel_requested = true where id = $1"
_END_LEASE = """
    update operation set lease_owner = null, lease_until = null, not_before = least(not_before, now()) where id = $1
"""


async def open_operations(db: Db, operation_id: int | None = None) -> tuple[OpenOperation, ...]:
    """Returns all operations that have not ended, or the one with `operation_id`."""
    return tuple(OpenOperation(**dict(row)) for row in await db.fetch(_OPERATIONS, operation_id))


async def removals_without_operation(db: Db, host_id: int | None = None) -> tuple[HostBeingRemoved, ...]:
    return tuple(HostBeingRemoved(**dict(row)) for row in await db.fetch(_REMOVING, host_id))


async def now(db: Db) -> datetime:
    """Returns the time of the database, which leases use."""
    time: datetime = await db.fetchval("select now()")
    return time


async def lock_operation(db: Db, operation_id: int) -> tuple[int, str | None]:
    """Locks the operation, so that no region takes it over; returns its attempt and step."""
    row = await db.fetchrow(_LOCK_OPERATION, operation_id)
    return (0, None) if row is None else (row["attempt"], row["step"])


async def set_undo(db: Db, operation_id: int) -> None:
    """Makes the operation undo its work at the host and end as cancelled. Idempotent."""
    await db.execute(_SET_UNDO, operation_id)


async def end_lease(db: Db, operation_id: int) -> None:
    """Ends the lease: any region may take over at once, and the former one can no longer write. Idempotent."""
    await db.execute(_END_LEASE, operation_id)
