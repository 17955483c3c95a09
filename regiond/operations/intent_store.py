"""SQL that opens operations: one, several at once, or an operation that has ended already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from structlog.contextvars import get_contextvars

from common.errors import Busy, NotFound
from common.tracing.spans import current_traceparent
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db, Row, of_row
from regiond.operations.model import (
    LEASE_S,
    ActingOperation,
    ErrorRecord,
    NewOperation,
    Operation,
    OperationState,
    Origin,
    Parent,
    busy,
    request_hash,
)
from regiond.operations.own_operations import NO_OWN_OPERATIONS, OwnOperations

REPEATED_WITHIN = timedelta(hours=1)

_INSERT = """
    insert into operation (kind, host_id, machine_id, parent_id, account_id, host_name, system_id, hostname, request,
                           explanation, max_failures, request_id, traceparent)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    on conflict do nothing
    returning id
"""

# `at_once` leases an operation to the region $3 with its insertion, if that has a rack that may reach the host.
_INSERT_SEVERAL = """
    insert into operation (kind, host_id, machine_id, account_id, host_name, system_id, hostname, request, explanation,
                           max_failures, request_id, traceparent, parent_id, source_machine_id, state, attempt,
                           lease_owner, lease_until, started_at)
    select $1, o.host_id, o.machine_id, o.account_id, o.host_name, o.system_id, o.hostname, o.request, o.explanation,
           o.max_failures, o.request_id, o.traceparent, o.parent_id, o.source_machine_id,
           case when leased then 'running' else 'queued' end, leased::integer, case when leased then $3::uuid end,
           case when leased then now() + make_interval(secs => $4) end, case when leased then now() end
      from jsonb_to_recordset($2::jsonb) o (
           host_id integer, machine_id integer, account_id integer, host_name text, system_id text, hostname text,
           request jsonb, explanation jsonb, max_failures integer, request_id text, traceparent text,
           parent_id bigint, source_machine_id integer, at_once boolean)
           cross join lateral (
               select o.at_once and exists (
                   select from rack_link l
                     join rack r on r.id = l.rack_id
                     join vm_host h on h.id = o.host_id and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                     left join rack_reach x on x.rack_id = l.rack_id and x.host_id = o.host_id
                    where l.region_id = $3 and x.reaches is distinct from false) as leased) lease
    returning id, machine_id, created_at, not_before, state, attempt, started_at, request
"""

_ACTING = """
    select id, kind, created_at from operation
     where is_open and (machine_id = $1 or ($1::integer is null and host_id = $2 and kind = $3)) order by id limit 1
"""

# The new operation has locked the machine's row already, by its foreign key: it waits for a transaction that opens a
# copy, which holds that lock, and finds the copy then.
_COPYING = "select id from operation where source_machine_id = $1 and is_open order by id limit 1"
_TAKE_BACK = "delete from operation where id = $1"

_INSERT_REJECTED = """
    insert into operation (kind, state, account_id, request, explanation, error_code, error_message, max_failures,
                           started_at, finished_at, rejected_hash, request_id, traceparent, rejections,
                           last_rejected_at)
    values ($1, 'failed', $2, $3, $4, $5, $6, 0, now(), now(), $7, $8, $9, 1, now())
    returning id
"""

# Changes no indexed column, so that many repetitions do not grow the indexes.
_REPEAT_REJECTED = """
    update operation
       set rejections = rejections + 1, last_rejected_at = now(), explanation = $3, error_message = $4
     where id = (select max(id) from operation
                  where account_id = $1 and rejected_hash = $2 and created_at > now() - $5::interval)
    returning id
"""

# Of two concurrent equal rejections, the second waits for the operation of the first.
_LOCK_ACCOUNT = "select true from account where id = $1 for no key update"

_INSERT_SUCCEEDED = """
    insert into operation (kind, state, host_id, machine_id, account_id, host_name, system_id, hostname, request,
                           result, request_id, traceparent, max_failures, started_at, finished_at)
    values ($1, 'succeeded', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, now(), now())
    returning id
"""


# The parent cannot be cancelled before the child is committed, so a cancellation of the parent finds the child.
_LOCK_PARENT = """
    select true from operation
     where id = $1 and attempt = $2 and is_open and state <> 'undoing' and not cancel_requested
       for share
"""

# The child is in the machine's resource pool, if the machine still exists.
_INSERT_FAILED_CHILD = """
    insert into operation (kind, state, machine_id, parent_id, account_id, system_id, hostname, request, error_code,
                           error_message, request_id, traceparent, max_failures, started_at, finished_at)
    values ($1, 'failed', (select id from machine where system_id = $4), $2, $3, $4, $5, $6, $7, $8, $9, $10, 0,
            now(), now())
"""


async def insert(
    db: Db,
    kind: OperationKind,
    *,
    host_id: int | None,
    host_name: str | None,
    machine_id: int | None = None,
    system_id: str | None = None,
    hostname: str | None = None,
    parent: Parent | None = None,
    account_id: int | None = None,
    request: Mapping[str, Any],
    explanation: Mapping[str, Any] | None = None,
    max_failures: int,
) -> int:
    """Opens an operation in the caller's transaction and returns its id.

    Raises Busy if another operation acts on the machine (or another refresh on the host), or if the parent has ended,
    is being undone or is in another attempt; the transaction remains usable. Raises NotFound if the host or machine was
    deleted meanwhile; the transaction must then roll back.
    """
    await _check_current(db, parent)
    origin = current_origin()
    try:
        operation_id: int | None = await db.fetchval(
            _INSERT, kind.value, host_id, machine_id, None if parent is None else parent.id, account_id, host_name,
            system_id, hostname, dict(request), None if explanation is None else dict(explanation), max_failures,
            origin.request_id, origin.traceparent,
        )  # fmt: skip
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound(f"{hostname or host_name} has just been removed.") from error
    if operation_id is None:
        subject = f"machine {hostname}" if machine_id is not None else f"host {host_name}"
        row = await db.fetchrow(_ACTING, machine_id, host_id, kind.value)
        raise busy(subject, None if row is None else of_row(ActingOperation, row))
    copying: int | None = None if machine_id is None else await db.fetchval(_COPYING, machine_id)
    if copying is not None:
        await db.execute(_TAKE_BACK, operation_id)
        raise Busy(
            f"The disks of {hostname} are being copied to a new machine (operation {copying}). Try again when that has "
            f"ended, or cancel it: innkeeper operation cancel {copying}"
        )
    return operation_id


async def insert_failed_child(
    db: Db,
    kind: OperationKind,
    parent: Parent,
    *,
    account_id: int | None,
    system_id: str | None,
    hostname: str,
    request: Mapping[str, Any],
    error: ErrorRecord,
) -> bool:
    """Records a child that was rejected before it began, so that the parent has a child for each of its machines.

    `system_id` is None for a machine that would have been created.
    Returns False, with nothing recorded, if the parent has ended, is being undone or is in another attempt.
    """
    if not await _is_current(db, parent):
        return False
    origin = current_origin()
    await db.execute(
        _INSERT_FAILED_CHILD, kind.value, parent.id, account_id, system_id, hostname, dict(request), error.code,
        error.message, origin.request_id, origin.traceparent,
    )  # fmt: skip
    return True


async def _check_current(db: Db, parent: Parent | None) -> None:
    if parent is not None and not await _is_current(db, parent):
        raise Busy(f"Operation {parent.id} has ended or is being undone: no other operation begins for it.")


async def _is_current(db: Db, parent: Parent) -> bool:
    """Returns whether this attempt of the parent may open children; this stays so until the transaction ends."""
    return bool(await db.fetchval(_LOCK_PARENT, parent.id, parent.attempt))


async def insert_several(
    db: Db, kind: OperationKind, new: Sequence[NewOperation], *, own: OwnOperations = NO_OWN_OPERATIONS
) -> tuple[Operation, ...]:
    """Opens all operations with one query, in the caller's transaction, and returns them in the order of `new`.

    Those that `own` has places for are running: it begins them when the transaction has been committed.

    Raises NotFound if a host or machine was deleted meanwhile, and Busy for a parent as `insert` does; the transaction
    must then roll back.
    """
    for parent in dict.fromkeys(one.parent for one in new):  # children of one are often all of them
        await _check_current(db, parent)
    try:
        owner, at_once = own.lease([one.host_id for one in new])
        plain = [{**_row_of(one), "at_once": begins} for one, begins in zip(new, at_once, strict=True)]
        rows = await db.fetch(_INSERT_SEVERAL, kind.value, plain, owner, LEASE_S)
    except asyncpg.ForeignKeyViolationError as error:
        raise NotFound(f"The subject of the operation has just been removed: {error.detail}") from error
    by_machine = {row["machine_id"]: row for row in rows}
    return tuple(_operation(kind, one, by_machine[one.machine_id]) for one in new)


async def insert_succeeded(
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
    """Records an operation that needs no host, since the caller's transaction does all its work. Returns its id."""
    origin = current_origin()
    operation_id: int = await db.fetchval(
        _INSERT_SUCCEEDED, kind.value, host_id, machine_id, account_id, host_name, system_id, hostname, dict(request),
        dict(result), origin.request_id, origin.traceparent,
    )  # fmt: skip
    return operation_id


async def record_rejected(
    db: Db,
    kind: OperationKind,
    *,
    account_id: int,
    request: Mapping[str, Any],
    explanation: Mapping[str, Any] | None,
    code: str,
    message: str,
) -> int:
    """Records an operation that was rejected before it started: nothing was claimed. Returns its id.

    If an equal request of the account was rejected with this code in the last hour, its operation is used: it counts
    the rejections, and gets this explanation and message.
    """
    plain = None if explanation is None else dict(explanation)
    equal = request_hash({"kind": kind.value, "code": code, "request": request})
    await db.execute(_LOCK_ACCOUNT, account_id)
    repeated_id: int | None = await db.fetchval(_REPEAT_REJECTED, account_id, equal, plain, message, REPEATED_WITHIN)
    if repeated_id is not None:
        return repeated_id
    origin = current_origin()
    operation_id: int = await db.fetchval(
        _INSERT_REJECTED, kind.value, account_id, dict(request), plain, code, message, equal, origin.request_id,
        origin.traceparent,
    )  # fmt: skip
    return operation_id


def _row_of(new: NewOperation) -> Mapping[str, object]:
    return {
        "host_id": new.host_id, "machine_id": new.machine_id, "account_id": new.account_id,
        "host_name": new.host_name, "system_id": new.system_id, "hostname": new.hostname, "request": new.request,
        "explanation": new.explanation, "max_failures": new.max_failures, "request_id": new.origin.request_id,
        "traceparent": new.origin.traceparent, "parent_id": None if new.parent is None else new.parent.id,
        "source_machine_id": new.source_machine_id,
    }  # fmt: skip


def _operation(kind: OperationKind, new: NewOperation, row: Row) -> Operation:
    """Returns the operation as `read` would, since no process can acquire it before the transaction ends."""
    return Operation(
        id=row["id"], kind=kind, state=OperationState(row["state"]), attempt=row["attempt"],
        started_at=row["started_at"], host_id=new.host_id, host_name=new.host_name,
        machine_id=new.machine_id, system_id=new.system_id, hostname=new.hostname,
        parent_id=None if new.parent is None else new.parent.id,
        account_id=new.account_id, username=new.username, request=row["request"], explanation=new.explanation,
        max_failures=new.max_failures, created_at=row["created_at"], not_before=row["not_before"],
        request_id=new.origin.request_id, traceparent=new.origin.traceparent,
    )  # fmt: skip


def current_origin() -> Origin:
    """Returns the request that is being served, or the one that opened the operation that runs."""
    return Origin(request_id=get_contextvars().get("request_id"), traceparent=current_traceparent() or None)
