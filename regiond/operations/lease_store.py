"""SQL of leased operations: acquire, renew, record progress, end.

Leases use the clock of the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from attrs import evolve, frozen

from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db
from regiond.operations import store
from regiond.operations.model import LEASE_S, WOKEN_BY_LAST_CHILD, ErrorRecord, Operation, OperationState

_LOG = "insert into operation_log (operation_id, attempt, step, message, details) values ($1, $2, $3, $4, $5)"

_NOTE = """
    insert into operation_log (operation_id, attempt, step, message, details)
    select id, attempt, $4, $5, $6 from operation
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

# Selects due operations without a valid lease, at most 4 per host at a time, so that a host that hangs cannot occupy
# the whole process. If only another live region has a rack that reaches the host, that region runs the operation.
# One more column, of a row that is there without any operation, says when another one is due.
_ACQUIRE = f"""
    with ranked as (
        select o.id, row_number() over (partition by o.host_id order by not_before, o.id) as rank
          from operation o left join vm_host h on h.id = o.host_id
         where is_open and not_before <= now() and o.kind = any($5::text[])
           and (lease_until is null or lease_until < now())
           and not (coalesce(o.host_id, 0) = any($4::integer[]))
           and (exists (select from rack_link l
                          join rack r on r.id = l.rack_id
                               and (h.id is null or r.zone_ids is null or h.zone_id = any(r.zone_ids))
                          left join rack_reach x on x.rack_id = l.rack_id and x.host_id = o.host_id
                         where l.region_id = $1 and x.reaches is distinct from false)
                or not exists (select from rack_link l
                                 join region_process p on p.id = l.region_id
                                      and p.seen_at > now() - interval '30 seconds'
                                 join rack r on r.id = l.rack_id
                                      and (h.id is null or r.zone_ids is null or h.zone_id = any(r.zone_ids))
                                 left join rack_reach x on x.rack_id = l.rack_id and x.host_id = o.host_id
                                where l.region_id <> $1 and x.reaches is distinct from false))
    ), due as (
        select o.id from operation o join ranked r on r.id = o.id
         where r.rank <= 4 and o.is_open and o.not_before <= now()
           and (o.lease_until is null or o.lease_until < now())
         order by o.not_before, o.id
         limit $2
           for update of o skip locked
    ), leased as (
        update operation o
           set attempt = attempt + 1, lease_owner = $1, lease_until = now() + make_interval(secs => $3),
               started_at = coalesce(started_at, now()),
               state = case when state in ('queued', 'waiting') then 'running' else state end
          from due where o.id = due.id
        returning o.*
    )
    select later.due_in_s, acquired.*
      from (select extract(epoch from min(greatest(not_before, coalesce(lease_until, not_before))) - now())::float8
                   as due_in_s
              from operation
             where is_open and kind = any($5::text[]) and id not in (select id from due)) later
           left join (select {store.COLUMNS}
                        from leased o left join account a on a.id = o.account_id) acquired on true
     order by acquired.id
"""  # noqa: S608  a constant
_KINDS = [one.value for one in OperationKind]  # not those of a newer release, whose regions run them

# Leases one new operation, as `_ACQUIRE` does, if it is still queued and a rack of this region may reach its host.
_TAKE = f"""
    with leased as (
        update operation o
           set attempt = attempt + 1, lease_owner = $2, lease_until = now() + make_interval(secs => $3),
               started_at = coalesce(started_at, now()), state = 'running'
         where o.id = $1 and o.state = 'queued' and o.lease_until is null and o.not_before <= now()
           and not (coalesce(o.host_id, 0) = any($4::integer[]))
           and exists (select from rack_link l
                         join rack r on r.id = l.rack_id
                         left join vm_host h on h.id = o.host_id
                         left join rack_reach x on x.rack_id = l.rack_id and x.host_id = o.host_id
                        where l.region_id = $2 and x.reaches is distinct from false
                          and (h.id is null or r.zone_ids is null or h.zone_id = any(r.zone_ids)))
        returning o.*
    ), found as (
        select true as is_leased, leased.* from leased
         union all
        select false, o.* from operation o where o.id = $1 and not exists (select from leased)
    )
    select o.is_leased, {store.COLUMNS} from found o left join account a on a.id = o.account_id
"""  # noqa: S608  a constant

# Locks in id order, like every statement that locks several operations. No `skip locked`: a skipped row would count as
# a lost lease.
_RENEW = """
    with held as (
        select id from operation
         where lease_owner = $1 and id = any($3::bigint[]) and state in ('running', 'undoing')
         order by id
           for no key update
    )
    update operation o set lease_until = now() + make_interval(secs => $2)
      from held where o.id = held.id
    returning o.id
"""

_RELEASED = "select id, attempt from operation where id = any($1::bigint[]) and lease_owner is null"

# Skips locked rows, since waiting for several could deadlock. The next call releases them, or their lease lapses.
_RELEASE = """
    update operation set lease_owner = null, lease_until = null
     where id in (select id from operation
                   where lease_owner = $1 and not (id = any($2::bigint[]))
                     and is_open
                     for update skip locked)
"""

_RECORD_STEP = """
    update operation set step = $4, reached_host = reached_host or $5
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

_BEGIN_STEP = """
    with begun as (
        update operation set step = $4, reached_host = reached_host or $5
         where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
        returning id, attempt
    )
    insert into operation_log (operation_id, attempt, step, message, details)
    select id, attempt, $4, 'started', $6 from begun
"""

_RECORD_HOST_NOT_REACHED = """
    update operation set reached_host = cancel_requested and reached_host
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
    returning reached_host
"""

_SET_STATE = """
    update operation
       set state = $4, error_code = $5, error_message = $6, error_details = $7
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

# Also a child whose parent is being undone: it is cancelled instead of retried.
_IS_CANCELLED = """(cancel_requested or exists (
    select from operation parent
     where parent.id = operation.parent_id and (parent.state = 'undoing' or parent.cancel_requested)))"""
# A cancellation that came while the attempt ended is carried out now: it made the operation due before this did.
# Undoing that waits is cancelled already, and waits.
_WAIT = f"""
    update operation
       set cancel_requested = {_IS_CANCELLED},
           state = $4, failures = failures + 1,
           not_before = case
               when state = 'running' and {_IS_CANCELLED}
               then now() else now() + make_interval(secs => $5) end,
           lease_owner = null, lease_until = null, error_code = $6, error_message = $7, error_details = $8
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""  # noqa: S608  # our own texts

_SUSPEND = """
    update operation
       set not_before = case
               when state = 'running' and cancel_requested then now() else now() + make_interval(secs => $4) end,
           lease_owner = null, lease_until = null
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

# Skips a locked row: the child is locked already, and its parent, whose id is lower, should be locked before it.
# Does not wake a parent in state waiting: it waits for a retry after a failure, and each attempt counts. Of two last
# children that end at the same time none may wake a parent that only the last one wakes: it resumes soon by itself.
_WAKE_PARENT = """
    update operation set not_before = now()
     where id = (select id from operation
                  where id = $1 and state = 'running' and lease_owner is null and not_before > now()
                    and (kind <> all($2::text[])
                         or not exists (select from operation child where child.parent_id = $1 and child.is_open))
                    for no key update skip locked)
"""

# Notifies, since no trigger reports a change of `not_before`: an operation that is retried later needs no process now.
# Waits for a transaction that suspends the operation: an update alone would see the lease before the suspension.
_WAKE = """
    with locked as materialized (
        select id, state, lease_owner, not_before from operation where id = $1 for no key update
    ), woken as (
        update operation o set not_before = now() from locked
         where o.id = locked.id and locked.state = 'running' and locked.lease_owner is null
           and locked.not_before > now()
        returning o.id, o.state
    )
    select pg_notify('operation', id || ' ' || state) from woken
"""

_FINISH = """
    with ended as (
        update operation
           set state = $4, result = $5, undone = $6, finished_at = now(), lease_owner = null, lease_until = null,
               error_code = case when $4 = 'succeeded' then null else coalesce($7, error_code) end,
               error_message = case when $4 = 'succeeded' then null else coalesce($8, error_message) end,
               error_details = case when $4 = 'succeeded' then null
                                    else coalesce($9, error_details) - 'undo_waits_for' end
         where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
        returning id, attempt, step, cancel_requested, finished_at, error_code, error_message, error_details
    ), logged as (
        insert into operation_log (operation_id, attempt, message, details)
        select id, attempt, $4, jsonb_build_object('undone', $6::text[]) from ended
    )
    select step, cancel_requested, finished_at, error_code, error_message, error_details from ended
"""

# Resets everything except the attempt number, which orders all attempts as a fencing token.
_REQUEUE = """
    update operation
       set state = $4, step = null, reached_host = false, failures = 0, not_before = now(), lease_owner = null,
           lease_until = null, error_code = null, error_message = null, error_details = null
     where id = $1 and attempt = $2 and lease_owner = $3 and state = 'undoing' and not cancel_requested
"""


async def append_log(
    db: Db, operation_id: int, attempt: int, step: str | None, message: str, details: Mapping[str, Any]
) -> None:
    await db.execute(_LOG, operation_id, attempt, step, message, dict(details))


@frozen(kw_only=True)
class Acquired:
    """`due_in_s`: the time until one of the others of known kinds is due; negative if it is, None without any."""

    operations: tuple[Operation, ...]
    due_in_s: float | None


async def acquire(db: Db, owner: UUID, *, limit: int, full_hosts: Iterable[int]) -> Acquired:
    """Leases up to `limit` due operations to `owner` for LEASE_S seconds, each with a new attempt number.

    Omits operations on `full_hosts` (host ids).
    """
    rows = await db.fetch(_ACQUIRE, owner, limit, LEASE_S, list(full_hosts), _KINDS)
    return Acquired(
        operations=tuple(store.operation_of(row) for row in rows if row["id"] is not None),
        due_in_s=rows[0]["due_in_s"],
    )


async def take(db: Db, operation_id: int, owner: UUID, *, full_hosts: Iterable[int]) -> tuple[Operation, bool]:
    """Returns a new operation, and whether it is leased to `owner` now: not on `full_hosts`, nor if another was first.

    Raises NotFound.
    """
    row = await db.fetchrow(_TAKE, operation_id, owner, LEASE_S, list(full_hosts))
    if row is None:
        return await store.read(db, operation_id), False
    return store.operation_of(row), row["is_leased"]


async def renew(db: Db, owner: UUID, operation_ids: Iterable[int]) -> set[int]:
    """Renews the leases for LEASE_S seconds. Returns the ids that `owner` still holds."""
    return {row["id"] for row in await db.fetch(_RENEW, owner, LEASE_S, list(operation_ids))}


async def released(db: Db, operation_ids: Iterable[int]) -> dict[int, int]:
    """Returns the number of the last attempt at those that nobody holds: it, or something else, has ended them."""
    return {row["id"]: row["attempt"] for row in await db.fetch(_RELEASED, list(operation_ids))}


async def release_leases(db: Db, owner: UUID, *, except_ids: Iterable[int] = ()) -> None:
    """Releases the leases of `owner`, so that any process can continue the operations at once. Idempotent."""
    await db.execute(_RELEASE, owner, list(except_ids))


# The following functions return False and change nothing if `owner` no longer holds the lease of this attempt.


async def record_step(db: Db, operation: Operation, owner: UUID, name: str, *, reaches_host: bool) -> bool:
    return _updated(await db.execute(_RECORD_STEP, operation.id, operation.attempt, owner, name, reaches_host))


async def begin_step(
    db: Db, operation: Operation, owner: UUID, name: str, facts: Mapping[str, Any], *, reaches_host: bool
) -> bool:
    """Records the step, and in the log that it begins, in one statement."""
    lease = (operation.id, operation.attempt, owner)
    return _inserted(await db.execute(_BEGIN_STEP, *lease, name, reaches_host, dict(facts)))


async def note(
    db: Db, operation: Operation, owner: UUID, step: str | None, message: str, details: Mapping[str, Any]
) -> bool:
    """Adds a line to the log. For a line in the transaction of another change, `append_log` is enough."""
    lease = (operation.id, operation.attempt, owner)
    return _inserted(await db.execute(_NOTE, *lease, step, message, dict(details)))


async def record_host_not_reached(db: Db, operation: Operation, owner: UUID) -> bool | None:
    """Returns whether undoing must still check the host, as a repair that cancels may require; None without lease."""
    reached_host: bool | None = await db.fetchval(_RECORD_HOST_NOT_REACHED, operation.id, operation.attempt, owner)
    return reached_host


async def set_state(db: Db, operation: Operation, owner: UUID, state: OperationState, error: ErrorRecord) -> bool:
    lease = (operation.id, operation.attempt, owner)
    return _updated(await db.execute(_SET_STATE, *lease, state.value, error.code, error.message, dict(error.details)))


async def wait(
    db: Db, operation: Operation, owner: UUID, state: OperationState, delay_s: float, error: ErrorRecord
) -> bool:
    """Releases the lease; the next attempt starts after `delay_s`, or now if it has to undo a cancelled operation."""
    lease = (operation.id, operation.attempt, owner)
    return _updated(
        await db.execute(_WAIT, *lease, state.value, delay_s, error.code, error.message, dict(error.details))
    )


async def suspend(db: Db, operation: Operation, owner: UUID, at_most_s: float) -> bool:
    """Releases the lease; the next attempt starts after `wake_parent` or `wake`, or after `at_most_s`.

    It starts now if it has to undo a cancelled operation.
    """
    lease = (operation.id, operation.attempt, owner)
    return _updated(await db.execute(_SUSPEND, *lease, at_most_s))


async def wake_parent(db: Db, parent_id: int) -> None:
    """Makes the suspended parent of an operation that ends in this transaction due. Idempotent.

    Parents of some kinds only if no child is open any more.
    """
    await db.execute(_WAKE_PARENT, parent_id, [kind.value for kind in WOKEN_BY_LAST_CHILD])


async def wake(db: Db, operation_id: int) -> None:
    """Makes a suspended operation due. The transaction must lock nothing else. Idempotent."""
    await db.execute(_WAKE, operation_id)


async def finish(
    db: Db,
    operation: Operation,
    owner: UUID,
    state: OperationState,
    *,
    result: Mapping[str, Any],
    undone: Iterable[str],
    error: ErrorRecord | None = None,
) -> Operation | None:
    """Ends the operation, and says so in its log. `error` replaces the error that is stored.

    Returns the operation as it has ended; None if `owner` does not hold this attempt.
    """
    lease, undone = (operation.id, operation.attempt, owner), tuple(undone)
    code, message, details = (error.code, error.message, dict(error.details)) if error else (None, None, None)
    row = await db.fetchrow(_FINISH, *lease, state.value, dict(result), list(undone), code, message, details)
    return None if row is None else evolve(operation, state=state, result=dict(result), undone=undone, **row)


async def requeue(db: Db, operation: Operation, owner: UUID, state: OperationState) -> bool:
    """Queues the operation again. Also returns False if cancellation has been requested."""
    return _updated(await db.execute(_REQUEUE, operation.id, operation.attempt, owner, state.value))


def _inserted(status: str) -> bool:
    return status == "INSERT 0 1"


def _updated(status: str) -> bool:
    return status == "UPDATE 1"
