"""The rows of operations, their log and their idempotency keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
from attrs import frozen

from common.errors import Busy, IdempotencyMismatch, NotFound
from regiond.operations.model import LogLine, Operation, OperationKind, OperationState

if TYPE_CHECKING:
    from regiond.db.pool import Db

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

_INSERT_SEVERAL = """
    insert into operation (kind, host_id, machine_id, account_id, host_name, system_id, hostname, request, explanation,
                           max_failures)
    select $1, o.* from jsonb_to_recordset($2::jsonb) o (
           host_id integer, machine_id integer, account_id integer, host_name text, system_id text, hostname text,
           request jsonb, explanation jsonb, max_failures integer)
    returning id, machine_id, created_at, not_before
"""

_INSERT_REFUSED = """
    insert into operation (kind, state, account_id, request, explanation, error_code, error_message, max_failures,
                           started_at, finished_at)
    values ($1, 'failed', $2, $3, $4, $5, $6, 0, now(), now())
    returning id
"""

_INSERT_DONE = """
    insert into operation (kind, state, host_id, machine_id, account_id, host_name, system_id, hostname, request,
                           result, max_failures, started_at, finished_at)
    values ($1, 'succeeded', $2, $3, $4, $5, $6, $7, $8, $9, 0, now(), now())
    returning id
"""

_READ_LOG = """
    select at, attempt, step, message, details from operation_log where operation_id = $1 order by id
"""

_REDIRECT = """
    update operation set host_id = $2, host_name = $3, request = $4, explanation = $5 where id = $1
"""

_EXPLAIN = "update operation set explanation = $2 where id = $1"

_CANCEL = """
    update operation set cancel_requested = true, not_before = now()
     where id = $1 and state in ('queued', 'running', 'waiting')
"""

# In the order of ids: two racks that come at once wake the same.
_WAKE_HOST = """
    with waits as (
        select id from operation
         where lease_owner is null and not_before > now() and ($1::integer is null or host_id = $1)
           and (state = 'undoing' -- its error says why it is undone, not what it waits for
                or (state = 'waiting' and error_code in (
                    'rack_unreachable', 'link_lost', 'host_unreachable', 'host_hung', 'deadline_exceeded',
                    'cancelled')))
         order by id
           for no key update
    )
    update operation o set not_before = now() from waits where o.id = waits.id
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


async def read_each(db: Db, operation_ids: Iterable[int]) -> list[Operation]:
    return [_operation(row) for row in await db.fetch(_READ_ALL, list(operation_ids))]


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


@frozen(kw_only=True)
class NewOperation:
    """One on a machine that was made in the same transaction, so that nothing else can act on it."""

    host_id: int
    host_name: str
    machine_id: int
    system_id: str
    hostname: str
    account_id: int
    username: str
    request: Mapping[str, Any]
    explanation: Mapping[str, Any]
    max_failures: int


async def insert_several(db: Db, kind: OperationKind, new: Sequence[NewOperation]) -> tuple[Operation, ...]:
    """The intents, in the order of `new`, committed once the caller's transaction ends. One query for all.

    Raises NotFound when something went in this very moment; the caller's transaction must then roll back.
    """
    try:
        rows = await db.fetch(_INSERT_SEVERAL, kind.value, [_plain(one) for one in new])
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound(f"What the operation is about has just been removed: {error.detail}") from error
    by_machine = {row["machine_id"]: row for row in rows}
    return tuple(_opened(kind, one, by_machine[one.machine_id]) for one in new)


def _plain(new: NewOperation) -> Mapping[str, object]:
    return {
        "host_id": new.host_id, "machine_id": new.machine_id, "account_id": new.account_id,
        "host_name": new.host_name, "system_id": new.system_id, "hostname": new.hostname, "request": new.request,
        "explanation": new.explanation, "max_failures": new.max_failures,
    }  # fmt: skip


def _opened(kind: OperationKind, new: NewOperation, row: asyncpg.Record) -> Operation:
    """As `read` would find it: nobody takes it up before the transaction ends."""
    return Operation(
        id=row["id"], kind=kind, state=OperationState.QUEUED, host_id=new.host_id, host_name=new.host_name,
        machine_id=new.machine_id, system_id=new.system_id, hostname=new.hostname, parent_id=None,
        account_id=new.account_id, username=new.username, request=new.request, explanation=new.explanation,
        max_failures=new.max_failures, created_at=row["created_at"], not_before=row["not_before"],
    )  # fmt: skip


async def insert_done(
    db: Db,
    kind: OperationKind,
    *,
    host_id: int | None,
    host_name: str | None,
    machine_id: int,
    system_id: str,
    hostname: str,
    account_id: int,
    request: Mapping[str, Any],
    result: Mapping[str, Any],
) -> int:
    """The id of an operation that needed no host: what it did is done in the caller's transaction, and told here."""
    made: int = await db.fetchval(
        _INSERT_DONE, kind.value, host_id, machine_id, account_id, host_name, system_id, hostname, dict(request),
        dict(result),
    )  # fmt: skip
    return made


async def insert_refused(
    db: Db,
    kind: OperationKind,
    *,
    account_id: int | None,
    request: Mapping[str, Any],
    explanation: Mapping[str, Any] | None,
    code: str,
    message: str,
) -> int:
    """The id of an operation that failed before it began: nothing was claimed, and nothing is done about it."""
    made: int = await db.fetchval(
        _INSERT_REFUSED, kind.value, account_id, dict(request), None if explanation is None else dict(explanation),
        code, message,
    )  # fmt: skip
    return made


async def read_log(db: Db, operation_id: int) -> tuple[LogLine, ...]:
    return tuple(LogLine(**dict(row)) for row in await db.fetch(_READ_LOG, operation_id))


async def redirect(
    db: Db,
    operation_id: int,
    *,
    host_id: int,
    host_name: str,
    request: Mapping[str, Any],
    explanation: Mapping[str, Any],
) -> None:
    """It is about another host now, in the transaction that queues it again."""
    await db.execute(_REDIRECT, operation_id, host_id, host_name, dict(request), dict(explanation))


async def explain(db: Db, operation_id: int, explanation: Mapping[str, Any]) -> None:
    await db.execute(_EXPLAIN, operation_id, dict(explanation))


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
