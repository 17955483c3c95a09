"""SQL of operations: reading, listing, and changes that need no lease."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from attrs import evolve

from common.errors import Cancelled, InnkeeperError
from common.words.operation_kinds import OperationKind
from regiond.db.pool import Db, Row, of_row
from regiond.operations.model import (
    UNDO_WAITS_FOR,
    ActingOperation,
    Child,
    LogLine,
    Operation,
    OperationState,
)
from regiond.requests.caller import Caller, seen_by
from regiond.requests.validation_messages import existing

# Of the operation `o` and its account `a`.
COLUMNS = """
           o.id, o.kind, o.state, o.host_id, o.host_name, o.machine_id, o.system_id, o.hostname, o.parent_id,
           o.account_id, a.username, o.request, o.explanation, o.result, o.step, o.reached_host, o.attempt, o.failures,
           o.max_failures, o.cancel_requested, o.error_code, o.error_message, o.error_details, o.undone, o.created_at,
           o.started_at, o.finished_at, o.not_before, o.request_id, o.traceparent, o.rejections, o.last_rejected_at
"""
_SELECT = f"""
    select {COLUMNS}
      from operation o left join account a on a.id = o.account_id
"""  # noqa: S608  a constant

# An operation on a machine is in the resource pool of the machine, an operation only on a host in that of the host. If
# the machine was deleted, only administrators and the account that opened the operation see it.
_VISIBLE = """
       and ($2::integer[] is null or o.account_id = $3
            or exists (select from machine m
                        where m.id = o.machine_id and (m.pool_id = any($2) or m.owner_id = $3
                                                       or (m.owner_id is null and m.composed_by_id = $3)))
            or (o.system_id is null
                and exists (select from vm_host h where h.id = o.host_id and h.pool_id = any($2))))
"""
_READ = _SELECT + " where o.id = $1" + _VISIBLE

_VISIBLE_IDS = "select o.id from operation o where o.id = any($1::bigint[])" + _VISIBLE  # noqa: S608

_LATEST_IDS = "select max(id) as id from operation where system_id = any($1) group by system_id"
_LATEST = _SELECT + " where o.id = any($1::bigint[])" + _VISIBLE

_MATCHING = (
    """
     where ($1::text[] = '{}' or o.state = any($1))
       and ($4::integer is null or o.host_id = $4)
       and ($5::text is null or o.system_id = $5)
       and ($6::bigint is null or o.id < $6)
       and ($7::bigint is null or o.parent_id = $7)
       and ($9::text is null or a.username = $9)
       and ($10::text is null or o.hostname ilike $10 or o.host_name ilike $10)
       and ($11::bigint is null or o.id > $11)
       and ($12::text[] = '{}' or o.kind = any($12))
       and ($13::timestamptz is null or o.created_at >= $13)
       and ($14::timestamptz is null or o.created_at < $14)
"""
    + _VISIBLE
)
_NEWEST_FIRST = _SELECT + _MATCHING + " order by o.id desc limit $8"
_OLDEST_FIRST = _SELECT + _MATCHING + " order by o.id limit $8"
_COUNT = f"""
    select count(*) from (
        select from operation o left join account a on a.id = o.account_id {_MATCHING} limit $8) found
"""  # noqa: S608

_SPECIAL = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})

_COUNT_OPEN = "select count(*) from (select from operation o where o.is_open" + _VISIBLE + " limit $1) found"  # noqa: S608

_ACTIVE = (
    _SELECT
    + """
     where o.is_open
       and ((o.kind = $1 and o.host_id = $2) or ($3::integer is not null and o.machine_id = $3))
     order by o.id limit 1
"""
)

_MACHINES_IN_USE = """
    select machine_id as on_machine, id, kind, created_at from operation
     where is_open and machine_id = any($1::integer[])
     union all
    select source_machine_id, id, kind, created_at from operation
     where is_open and source_machine_id = any($1::integer[])
     order by id desc
"""
_CHILDREN = """
    select id, system_id, hostname, state, error_message, machine_id from operation where parent_id = $1 order by id
"""

_READ_LOG = """
    select at, attempt, step, message, details from operation_log where operation_id = $1 order by id
"""

# The first line of the step after the last line of another step.
_STEP_BEGAN_AT = """
    select min(at) from operation_log
     where operation_id = $1 and step = $2
       and id > coalesce((select max(id) from operation_log where operation_id = $1 and step <> $2), 0)
"""

_REDIRECT = """
    update operation set host_id = $2, host_name = $3, request = $4, explanation = $5 where id = $1
"""

_EXPLAIN = "update operation set explanation = $2 where id = $1"

_CANCEL = """
    update operation set cancel_requested = true, not_before = now()
     where id = $1 and state in ('queued', 'running', 'waiting')
"""

# A process that runs the operation loses the lease. An operation that is being undone retains its error.
_SUPERSEDE = """
    update operation
       set error_code = case when state = 'undoing' then error_code else $2 end,
           error_message = case when state = 'undoing' then error_message else $3 end,
           error_details = case when state = 'undoing' then error_details else '{}' end,
           state = case when state = 'undoing' and not cancel_requested then 'failed' else 'cancelled' end,
           cancel_requested = true, finished_at = now(), lease_owner = null, lease_until = null
     where id = $1 and is_open
"""

# Other operations in between, such as power actions, do not undo a deployment; of one that was abandoned, a command may
# still run. An operation that did not reach the host
# may have ended while it waited for the operation before it.
_UNSUCCESSFUL_BEFORE = """
    select case when state <> 'succeeded' then
               case when reached_host then id else (request ->> 'earlier')::bigint end
           end
      from operation
     where system_id = $1 and (kind in ('deploy', 'release', 'delete') or error_code = 'abandoned')
     order by id desc limit 1
"""

# A child that a region runs may act already, so it continues. Locks in id order, after the parent, whose id is lower.
_CANCEL_CHILDREN = """
    with not_running as (
        select id from operation
         where parent_id = $1 and state in ('queued', 'waiting')
         order by id
           for no key update
    )
    update operation o set cancel_requested = true, not_before = now() from not_running where o.id = not_running.id
"""

# A process that runs an operation loses the lease. An operation that is being undone retains its error. Locks in id
# order.
_END_ON_HOST = """
    with on_host as (
        select id from operation where host_id = $1 and is_open and id <> $2 order by id for no key update
    )
    update operation o
       set error_code = case when o.state = 'undoing' then o.error_code else $3 end,
           error_message = case when o.state = 'undoing' then o.error_message else $4 end,
           error_details = case when o.state = 'undoing' then o.error_details else '{}' end,
           state = 'failed', undone = array_append(o.undone, $5), finished_at = now(), lease_owner = null,
           lease_until = null
      from on_host where o.id = on_host.id
    returning o.id
"""

# Locks in id order: two racks that connect at the same time wake the same operations.


async def read(db: Db, operation_id: int, *, caller: Caller | None = None) -> Operation:
    """Returns the operation. Raises NotFound, also for an operation that the caller may not see."""
    row = await db.fetchrow(_READ, operation_id, *seen_by(caller))
    return as_shown_to(caller, operation_of(existing(row, "operation", operation_id)))


async def visible_ids(db: Db, operation_ids: Iterable[int], *, caller: Caller | None = None) -> frozenset[int]:
    """Returns those of the ids that an operation has, and the caller may see."""
    return frozenset(row["id"] for row in await db.fetch(_VISIBLE_IDS, list(operation_ids), *seen_by(caller)))


async def read_latest(db: Db, system_ids: Iterable[str], *, caller: Caller | None = None) -> Mapping[str, Operation]:
    """Returns the newest operation of each machine, by system id, without operations that the caller may not see."""
    ids = [row["id"] for row in await db.fetch(_LATEST_IDS, list(system_ids))]
    rows = await db.fetch(_LATEST, ids, *seen_by(caller))
    return {row["system_id"]: as_shown_to(caller, operation_of(row)) for row in rows}


async def list_operations(
    db: Db,
    *,
    states: Iterable[str] = (),
    kinds: Iterable[str] = (),
    host_id: int | None = None,
    system_id: str | None = None,
    before_id: int | None = None,
    after_id: int | None = None,
    oldest_first: bool = False,
    parent_id: int | None = None,
    username: str | None = None,
    text: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    caller: Caller | None = None,
) -> tuple[Operation, ...]:
    """Returns the operations that match all filters and that the caller may see, newest first by default.

    Without a caller it returns all. `text` is a part of the name of the machine or of the host; `since` and `until` are
    about their creation.
    """
    rows = await db.fetch(
        _OLDEST_FIRST if oldest_first else _NEWEST_FIRST, list(states), *seen_by(caller), host_id, system_id,
        before_id, parent_id, limit, username, _pattern(text), after_id, list(kinds), since, until,
    )  # fmt: skip
    return tuple(as_shown_to(caller, operation_of(row)) for row in rows)


async def count_operations(
    db: Db,
    *,
    states: Iterable[str] = (),
    kinds: Iterable[str] = (),
    host_id: int | None = None,
    system_id: str | None = None,
    parent_id: int | None = None,
    username: str | None = None,
    text: str = "",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int,
    caller: Caller | None = None,
) -> int:
    """Returns the number of operations that `list_operations` would return without a position, at most `limit`."""
    found: int = await db.fetchval(
        _COUNT, list(states), *seen_by(caller), host_id, system_id, None, parent_id, limit, username, _pattern(text),
        None, list(kinds), since, until,
    )  # fmt: skip
    return found


def _pattern(text: str) -> str | None:
    return f"%{text.translate(_SPECIAL)}%" if text else None


async def active(
    db: Db, kind: OperationKind, *, host_id: int | None = None, machine_id: int | None = None
) -> Operation | None:
    """Returns the open operation of this kind on the host, or of any kind on the machine."""
    row = await db.fetchrow(_ACTIVE, kind.value, host_id, machine_id)
    return operation_of(row) if row is not None else None


async def machines_in_use(db: Db, machine_ids: Iterable[int]) -> Mapping[int, ActingOperation]:
    """Returns, by machine, the first operation of any kind that is open on it, or that copies its disks."""
    rows = await db.fetch(_MACHINES_IN_USE, list(machine_ids))
    return {row["on_machine"]: of_row(ActingOperation, row) for row in rows}


async def children(db: Db, operation_id: int) -> tuple[Child, ...]:
    """Returns the operations that this one opened, oldest first. The caller must be allowed to see this one."""
    rows = await db.fetch(_CHILDREN, operation_id)
    return tuple(Child(**{**dict(row), "state": OperationState(row["state"])}) for row in rows)


async def read_log(db: Db, operation_id: int) -> tuple[LogLine, ...]:
    """Returns the log lines, oldest first."""
    return tuple(LogLine(**dict(row)) for row in await db.fetch(_READ_LOG, operation_id))


async def step_began_at(db: Db, operation_id: int, step: str | None) -> datetime:
    """Returns the time when this step, the current one of the operation, began, maybe in an earlier attempt."""
    began_at: datetime = await db.fetchval(_STEP_BEGAN_AT, operation_id, step)
    return began_at


async def redirect(
    db: Db,
    operation_id: int,
    *,
    host_id: int,
    host_name: str,
    request: Mapping[str, Any],
    explanation: Mapping[str, Any],
) -> None:
    """Assigns the operation to another host, in the transaction that queues it again."""
    await db.execute(_REDIRECT, operation_id, host_id, host_name, dict(request), dict(explanation))


async def explain(db: Db, operation_id: int, explanation: Mapping[str, Any]) -> None:
    """Replaces the placement explanation of the operation."""
    await db.execute(_EXPLAIN, operation_id, dict(explanation))


async def request_cancel(db: Db, operation_id: int) -> bool:
    """Cancels the operation and those of its children that no region runs, in the caller's transaction.

    Returns False if the operation has ended or is being undone.
    """
    if await db.execute(_CANCEL, operation_id) != "UPDATE 1":
        return False
    await cancel_children(db, operation_id)
    return True


async def supersede(db: Db, operation_id: int, reason: str) -> bool:
    """Cancels the operation without undoing it, for a newer operation on its machine, which cleans up in its place.

    If a process still runs it, the rack rejects that process's calls, because the other operation is newer. Returns
    False if it has ended.
    """
    found = await db.execute(_SUPERSEDE, operation_id, Cancelled.code, reason)
    return bool(found == "UPDATE 1")


async def unsuccessful_before(db: Db, system_id: str) -> int | None:
    """Returns the machine's last deployment, release, deletion or abandoned operation if it reached the host and did
    not succeed.

    If it did not reach the host, returns the operation that it waited for. None if there is nothing to wait for.
    """
    found: int | None = await db.fetchval(_UNSUCCESSFUL_BEFORE, system_id)
    return found


async def cancel_children(db: Db, parent_id: int) -> None:
    """Cancels the children that no region runs, in the caller's transaction. Idempotent.

    A running child continues; if its attempt fails, the child is cancelled instead of retried.
    """
    await db.execute(_CANCEL_CHILDREN, parent_id)


async def end_on_host(db: Db, host_id: int, *, except_id: int, error: InnkeeperError, undone: str) -> tuple[int, ...]:
    """Fails all other operations on a host that is removed by force, at once and without undoing them.

    Returns their ids. A process that still runs one can no longer record anything of it.
    """
    rows = await db.fetch(_END_ON_HOST, host_id, except_id, error.code, error.message, undone)
    return tuple(row["id"] for row in rows)


async def count_open(db: Db, *, limit: int, caller: Caller | None = None) -> int:
    """Returns the number of open operations that the caller may see (without a caller, of all), at most `limit`."""
    found: int = await db.fetchval(_COUNT_OPEN, limit, *seen_by(caller))
    return found


def as_shown_to(caller: Caller | None, operation: Operation) -> Operation:
    """Returns the operation as the caller may see it.

    Only its own account and administrators see its placement, which has names of hosts. The facts of its error are
    those of a server: others than administrators see which numbers and flags there are, and why undoing waits. What an
    operation on a host alone was asked, and returned, is the administrators' too.
    """
    if caller is None or caller.is_admin:
        return operation
    shown = evolve(operation, error_details=_public_details(operation.error_details))
    if caller.account_id == operation.account_id:
        return shown
    shown = evolve(shown, explanation=None)
    return evolve(shown, request={}, result={}) if operation.system_id is None else shown


def _public_details(details: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if details is None:
        return None
    return {name: one for name, one in details.items() if name == UNDO_WAITS_FOR or isinstance(one, bool | int | float)}


def operation_of(row: Row) -> Operation:
    """Returns the operation of a row of `COLUMNS`."""
    kind, state = OperationKind.stored(row["kind"]), OperationState(row["state"])
    return of_row(Operation, row, kind=kind, state=state, undone=tuple(row["undone"]))
