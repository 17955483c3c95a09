"""What the engine writes of the operations that it holds. Leases use the database's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from regiond.operations import store
from regiond.operations.model import Operation, OperationState

if TYPE_CHECKING:
    from regiond.db.pool import Db

LEASE_S = 15.0

_LOG = "insert into operation_log (operation_id, attempt, step, message, details) values ($1, $2, $3, $4, $5)"

# Takes what is due and not held by a living lease. A host gets a few at a time, so that a hung one cannot
# fill every place of this process. What another living process has a rack for, and this one has not, is left to it.
_TAKE = """
    with ranked as (
        select id, row_number() over (partition by host_id order by not_before, id) as turn
          from operation
         where state in ('queued', 'running', 'waiting', 'undoing') and not_before <= now()
           and (lease_until is null or lease_until < now())
           and not (coalesce(host_id, 0) = any($4::integer[]))
           and (exists (select from rack_link l
                          left join rack_reach x on x.rack_id = l.rack_id and x.host_id = operation.host_id
                         where l.region_id = $1 and x.reaches is distinct from false)
                or not exists (select from rack_link l
                                 join region_process p on p.id = l.region_id
                                      and p.seen_at > now() - interval '30 seconds'
                                 left join rack_reach x on x.rack_id = l.rack_id and x.host_id = operation.host_id
                                where l.region_id <> $1 and x.reaches is distinct from false))
    ), due as (
        select o.id from operation o join ranked r on r.id = o.id
         where r.turn <= 4 and o.state in ('queued', 'running', 'waiting', 'undoing') and o.not_before <= now()
           and (o.lease_until is null or o.lease_until < now())
         order by o.not_before, o.id
         limit $2
           for update of o skip locked
    )
    update operation o
       set attempt = attempt + 1, lease_owner = $1, lease_until = now() + make_interval(secs => $3),
           started_at = coalesce(started_at, now()),
           state = case when state in ('queued', 'waiting') then 'running' else state end
      from due where o.id = due.id
    returning o.id
"""

_NEXT_DUE = """
    select extract(epoch from min(greatest(not_before, coalesce(lease_until, not_before))) - now())::float8
      from operation
     where state in ('queued', 'running', 'waiting', 'undoing')
"""

# In the order of ids, as whoever else waits for several. None is passed over: it would seem lost.
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

# One that somebody has locked is left to the next time, or to its lease: waiting for several could end in a deadlock.
_HAND_BACK = """
    update operation set lease_owner = null, lease_until = null
     where id in (select id from operation
                   where lease_owner = $1 and not (id = any($2::bigint[]))
                     and state in ('queued', 'running', 'waiting', 'undoing')
                     for update skip locked)
"""

_STEP = """
    update operation set step = $4, reached_host = reached_host or $5
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

_TURN = """
    update operation
       set state = $4, error_code = $5, error_message = $6, error_details = $7
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

_WAIT = """
    update operation
       set state = $4, failures = failures + 1, not_before = now() + make_interval(secs => $5),
           lease_owner = null, lease_until = null, error_code = $6, error_message = $7, error_details = $8
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

_END = """
    update operation
       set state = $4, result = $5, undone = $6, finished_at = now(), lease_owner = null, lease_until = null,
           error_code = case when $4 = 'succeeded' then null else coalesce($7, error_code) end,
           error_message = case when $4 = 'succeeded' then null else coalesce($8, error_message) end,
           error_details = case when $4 = 'succeeded' then null else coalesce($9, error_details) end
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

# As if it were new, but for its attempts, which go on counting: they are what orders all that ever acted for it.
_QUEUE_AGAIN = """
    update operation
       set state = $4, step = null, reached_host = false, failures = 0, not_before = now(), lease_owner = null,
           lease_until = null, error_code = null, error_message = null, error_details = null
     where id = $1 and attempt = $2 and lease_owner = $3 and state = 'undoing' and not cancel_requested
"""


async def log(
    db: Db, operation_id: int, attempt: int, step: str | None, message: str, details: Mapping[str, Any]
) -> None:
    await db.execute(_LOG, operation_id, attempt, step, message, dict(details))


async def take(db: Db, owner: UUID, *, limit: int, full_hosts: Iterable[int]) -> list[Operation]:
    """Up to `limit` due operations, now held by `owner` for LEASE_S under a new attempt number."""
    ids = [row["id"] for row in await db.fetch(_TAKE, owner, limit, LEASE_S, list(full_hosts))]
    return await store.read_each(db, ids) if ids else []


async def next_due_s(db: Db) -> float | None:
    """Seconds until something may be taken; None when nothing is open."""
    due: float | None = await db.fetchval(_NEXT_DUE)
    return due


async def renew(db: Db, owner: UUID, operation_ids: Iterable[int]) -> set[int]:
    """Those of `operation_ids` that `owner` still holds, held for another LEASE_S."""
    return {row["id"] for row in await db.fetch(_RENEW, owner, LEASE_S, list(operation_ids))}


async def hand_back(db: Db, owner: UUID, *, but: Iterable[int] = ()) -> None:
    await db.execute(_HAND_BACK, owner, list(but))


async def step(db: Db, held: Operation, owner: UUID, name: str, *, reaches_host: bool) -> bool:
    """False when the lease was lost: whoever holds it now goes on."""
    return bool(await db.execute(_STEP, held.id, held.attempt, owner, name, reaches_host) == "UPDATE 1")


async def turn(
    db: Db, held: Operation, owner: UUID, state: OperationState, error: tuple[str, str, Mapping[str, Any]]
) -> bool:
    code, message, details = error
    done = await db.execute(_TURN, held.id, held.attempt, owner, state.value, code, message, dict(details))
    return bool(done == "UPDATE 1")


async def wait(
    db: Db,
    held: Operation,
    owner: UUID,
    state: OperationState,
    delay_s: float,
    error: tuple[str, str, Mapping[str, Any]],
) -> bool:
    code, message, details = error
    done = await db.execute(_WAIT, held.id, held.attempt, owner, state.value, delay_s, code, message, dict(details))
    return bool(done == "UPDATE 1")


async def end(
    db: Db,
    held: Operation,
    owner: UUID,
    state: OperationState,
    *,
    result: Mapping[str, Any],
    undone: Iterable[str],
    error: tuple[str, str, Mapping[str, Any]] | None = None,
) -> bool:
    """`error` takes the place of the one that it has."""
    code, message, details = error or (None, None, None)
    done = await db.execute(
        _END, held.id, held.attempt, owner, state.value, dict(result), list(undone), code, message,
        None if details is None else dict(details),
    )  # fmt: skip
    return bool(done == "UPDATE 1")


async def queue_again(db: Db, held: Operation, owner: UUID, state: OperationState) -> bool:
    """False when the lease was lost, or somebody asked to cancel it."""
    return bool(await db.execute(_QUEUE_AGAIN, held.id, held.attempt, owner, state.value) == "UPDATE 1")
