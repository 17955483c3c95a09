"""The rows of operations, their log and their idempotency keys. Leases use the database's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from common.errors import Busy, IdempotencyMismatch, NotFound
from regiond.operations.model import LogLine, Operation, OperationKind, OperationState

if TYPE_CHECKING:
    from regiond.db.pool import Db

LEASE_S = 15.0

_SELECT = """
    select o.id, o.kind, o.state, o.host_id, o.host_name, o.machine_id, o.system_id, o.hostname, o.parent_id,
           o.account_id, a.username, o.request, o.explanation, o.result, o.step, o.reached_host, o.attempt, o.failures,
           o.max_failures, o.cancel_requested, o.error_code, o.error_message, o.error_details, o.undone, o.created_at,
           o.started_at, o.finished_at, o.not_before
      from operation o left join account a on a.id = o.account_id
"""

_READ = _SELECT + " where o.id = $1"
_READ_ALL = _SELECT + " where o.id = any($1::bigint[]) order by o.id"

_LIST = (
    _SELECT
    + """
     where ($1::text[] = '{}' or o.state = any($1))
       and ($2::integer is null or o.host_id = $2)
       and ($3::text is null or o.system_id = $3)
       and ($4::bigint is null or o.id < $4)
       and ($5::bigint is null or o.parent_id = $5)
     order by o.id desc
     limit $6
"""
)

_ACTIVE = (
    _SELECT
    + """
     where o.state in ('queued', 'running', 'waiting', 'undoing')
       and ((o.kind = $1 and o.host_id = $2) or ($3::integer is not null and o.machine_id = $3))
     order by o.id limit 1
"""
)

_INSERT = """
    insert into operation (kind, host_id, machine_id, parent_id, account_id, host_name, system_id, hostname, request,
                           explanation, max_failures)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    on conflict do nothing
    returning id
"""

_LOG = "insert into operation_log (operation_id, attempt, step, message, details) values ($1, $2, $3, $4, $5)"

_READ_LOG = """
    select at, attempt, step, message, details from operation_log where operation_id = $1 order by id
"""

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

_RENEW = """
    update operation set lease_until = now() + make_interval(secs => $2)
     where lease_owner = $1 and id = any($3::bigint[]) and state in ('running', 'undoing')
    returning id
"""

_HAND_BACK = """
    update operation set lease_owner = null, lease_until = null
     where lease_owner = $1 and not (id = any($2::bigint[]))
       and state in ('queued', 'running', 'waiting', 'undoing')
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
           error_code = case when $4 = 'succeeded' then null else error_code end,
           error_message = case when $4 = 'succeeded' then null else error_message end,
           error_details = case when $4 = 'succeeded' then null else error_details end
     where id = $1 and attempt = $2 and lease_owner = $3 and state in ('running', 'undoing')
"""

_CANCEL = """
    update operation set cancel_requested = true, not_before = now()
     where id = $1 and state in ('queued', 'running', 'waiting')
"""

_WAKE_HOST = """
    update operation set not_before = now()
     where lease_owner is null and not_before > now() and ($1::integer is null or host_id = $1)
       and (state = 'undoing' -- its error says why it is undone, not what it waits for
            or (state = 'waiting' and error_code in (
                'rack_unreachable', 'link_lost', 'host_unreachable', 'host_hung', 'deadline_exceeded', 'cancelled')))
"""

_FIND_KEY = "select request_hash, operation_id from idempotency_key where account_id = $1 and key = $2"
_ADD_KEY = """
    insert into idempotency_key (account_id, key, request_hash, operation_id) values ($1, $2, $3, $4)
"""


def _operation(row: asyncpg.Record) -> Operation:
    return Operation(
        **{
            **dict(row),
            "kind": OperationKind(row["kind"]),
            "state": OperationState(row["state"]),
            "undone": tuple(row["undone"]),
        }
    )


async def read(db: Db, operation_id: int) -> Operation:
    row = await db.fetchrow(_READ, operation_id)
    if row is None:
        raise NotFound(f"No operation {operation_id}.")
    return _operation(row)


async def list_operations(
    db: Db,
    *,
    states: Iterable[str] = (),
    host_id: int | None = None,
    system_id: str | None = None,
    before_id: int | None = None,
    parent_id: int | None = None,
    limit: int = 100,
) -> tuple[Operation, ...]:
    """Newest first."""
    rows = await db.fetch(_LIST, list(states), host_id, system_id, before_id, parent_id, limit)
    return tuple(_operation(row) for row in rows)


async def active(
    db: Db, kind: OperationKind, *, host_id: int | None = None, machine_id: int | None = None
) -> Operation | None:
    """The unfinished operation of this kind on the host, or any on the machine."""
    row = await db.fetchrow(_ACTIVE, kind.value, host_id, machine_id)
    return _operation(row) if row is not None else None


async def insert(
    db: Db,
    kind: OperationKind,
    *,
    host_id: int | None,
    host_name: str | None,
    machine_id: int | None = None,
    system_id: str | None = None,
    hostname: str | None = None,
    parent_id: int | None = None,
    account_id: int | None = None,
    request: Mapping[str, Any],
    explanation: Mapping[str, Any] | None = None,
    max_failures: int,
) -> int:
    """The id of the committed intent (once the caller's transaction ends).

    Raises Busy when another one acts on it, and then the caller's transaction may go on; NotFound when its host or
    machine went in this very moment, and then it may not.
    """
    try:
        made: int | None = await db.fetchval(
            _INSERT, kind.value, host_id, machine_id, parent_id, account_id, host_name, system_id, hostname,
            dict(request), None if explanation is None else dict(explanation), max_failures,
        )  # fmt: skip
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound(f"{hostname or host_name} has just been removed.") from error
    if made is None:
        subject = f"machine {hostname}" if machine_id is not None else f"host {host_name}"
        raise Busy(f"Another operation acts on {subject} right now; try again when it has ended.")
    return made


async def log(
    db: Db, operation_id: int, attempt: int, step: str | None, message: str, details: Mapping[str, Any]
) -> None:
    await db.execute(_LOG, operation_id, attempt, step, message, dict(details))


async def read_log(db: Db, operation_id: int) -> tuple[LogLine, ...]:
    return tuple(LogLine(**dict(row)) for row in await db.fetch(_READ_LOG, operation_id))


async def take(db: Db, owner: UUID, *, limit: int, full_hosts: Iterable[int]) -> list[Operation]:
    """Up to `limit` due operations, now held by `owner` for LEASE_S under a new attempt number."""
    ids = [row["id"] for row in await db.fetch(_TAKE, owner, limit, LEASE_S, list(full_hosts))]
    return [_operation(row) for row in await db.fetch(_READ_ALL, ids)] if ids else []


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
    db: Db, held: Operation, owner: UUID, state: OperationState, *, result: Mapping[str, Any], undone: Iterable[str]
) -> bool:
    done = await db.execute(_END, held.id, held.attempt, owner, state.value, dict(result), list(undone))
    return bool(done == "UPDATE 1")


async def ask_cancel(db: Db, operation_id: int) -> bool:
    return bool(await db.execute(_CANCEL, operation_id) == "UPDATE 1")


async def wake_waiting(db: Db, host_id: int | None = None) -> None:
    """A host is back, or a rack came and any host may be: what waited for that is tried at once."""
    await db.execute(_WAKE_HOST, host_id)


async def operation_of_key(db: Db, account_id: int, key: str, request_hash: bytes) -> int | None:
    """The operation made earlier with this key. Raises IdempotencyMismatch when it was for another request."""
    row = await db.fetchrow(_FIND_KEY, account_id, key)
    if row is None:
        return None
    if row["request_hash"] != request_hash:
        raise IdempotencyMismatch(
            f"The idempotency key {key!r} was used for another request (operation {row['operation_id']}); "
            "use a new key for a new request.",
            operation=row["operation_id"],
        )
    return int(row["operation_id"])


async def keep_key(db: Db, account_id: int, key: str, request_hash: bytes, operation_id: int) -> None:
    """Tie the key to the operation, in the transaction that opens it.

    Raises Busy when another caller used the key a moment ago; the caller's transaction must then roll back.
    """
    try:
        await db.execute(_ADD_KEY, account_id, key, request_hash, operation_id)
    except asyncpg.UniqueViolationError as error:
        raise Busy(f"A request with the idempotency key {key!r} is just being opened; ask again.") from error
