"""SQL of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from attrs import asdict

from common.words.hidden_text import MARKED, MARKS
from regiond.db.pool import Db, Row
from regiond.events.model import Event, EventFilter, Level, LogExtent, NewEvent
from regiond.requests.caller import Caller, seen_by

_INSERT = """
    insert into event (kind, level, message, host_id, system_id, operation_id, rack_id, username, account_id, details)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    returning id
"""
_INSERT_SEVERAL = """
    insert into event (kind, level, message, host_id, system_id, username, account_id)
    select e.kind, e.level, e.message, e.host_id, e.system_id, $2, $3
      from jsonb_to_recordset($1::jsonb) e (kind text, level text, message text, host_id integer, system_id text)
"""
_IS_RECORDED = """
    select exists (select from event where at > clock_timestamp() - $1::interval and kind = $2 and account_id = $3
                                       and details @> $4)
"""

_SELECT = """
    select e.id, e.at, e.kind, e.level, e.message, e.host_id, e.system_id, e.operation_id, e.rack_id, e.username,
           e.details, h.name as host_name, m.hostname
      from event e
      left join vm_host h on h.id = e.host_id
      left join machine m on m.system_id = e.system_id
     where ($1::text[] = '{}' or e.level = any($1))
       and ($2::integer is null or e.host_id = $2)
       and ($3::text[] is null or e.system_id = any($3))
       and ($4::bigint is null or e.operation_id = $4)
       and ($5::uuid is null or e.rack_id = $5)
       and ($6::bigint is null or e.id < $6)
       and ($7::bigint is null or e.id > $7)
       and ($8::integer[] is null or e.account_id = $9
            or m.pool_id = any($8) or m.owner_id = $9 or (m.owner_id is null and m.composed_by_id = $9)
            or (e.system_id is null and e.operation_id is null and e.username is null and h.pool_id = any($8)))
       and ($11::text[] = '{}' or e.kind = any($11))
       and ($12::text is null or e.username = $12)
       and ($13::text is null
            or strpos(lower(case when $8 is null then translate(e.message, $17, '')
                                 else regexp_replace(e.message, $16, '', 'g') end), lower($13)) > 0)
       and ($14::timestamptz is null or e.at >= $14)
       and ($15::timestamptz is null or e.at < $15)
"""
_NEWEST_FIRST = f"{_SELECT} order by e.id desc limit $10"
_OLDEST_FIRST = f"{_SELECT} order by e.id limit $10"
_BETWEEN = f"{_SELECT} and e.id > $18 and e.id <= $19 order by e.id limit $10"

_EXTENT = """
    select (select min(id) from event) as oldest, event_horizon() as horizon,
           (select last_value - (not is_called)::integer from event_id_seq) as newest
"""

_PRUNE = """
    delete from event where id in (
        select id from event where at < clock_timestamp() - $1::interval limit $2)
"""


async def insert(
    db: Db,
    kind: str,
    level: Level,
    message: str,
    *,
    host_id: int | None,
    system_id: str | None,
    operation_id: int | None,
    rack_id: UUID | None,
    username: str | None,
    account_id: int | None,
    details: Mapping[str, Any],
) -> int:
    event_id: int = await db.fetchval(
        _INSERT, kind, level.value, message, host_id, system_id, operation_id, rack_id, username, account_id,
        dict(details),
    )  # fmt: skip
    return event_id


async def is_recorded(db: Db, within: timedelta, kind: str, account_id: int, details: Mapping[str, Any]) -> bool:
    found: bool = await db.fetchval(_IS_RECORDED, within, kind, account_id, details)
    return found


async def insert_several(db: Db, new: Iterable[NewEvent], *, username: str, account_id: int | None) -> None:
    """Inserts the events with one statement, in the order of `new`."""
    rows = [{**asdict(one), "level": one.level.value} for one in new]
    if rows:
        await db.execute(_INSERT_SEVERAL, rows, username, account_id)


async def select(db: Db, filter_: EventFilter, *, caller: Caller | None = None) -> tuple[Event, ...]:
    """Returns the newest events, or with `after_id` the events that follow it; always newest first.

    A caller sees its own events, those of machines that it may see, and those that Innkeeper itself recorded of hosts
    in the caller's resource pools; never events of racks, accounts and credentials. A search of the texts does not find
    what the caller does not read in them.
    """
    rows = await db.fetch(_NEWEST_FIRST if filter_.after_id is None else _OLDEST_FIRST, *_parameters(filter_, caller))
    found = _events(rows, caller)
    return found if filter_.after_id is None else found[::-1]


async def select_between(
    db: Db, filter_: EventFilter, after_id: int, up_to_id: int, *, caller: Caller
) -> tuple[Event, ...]:
    """Returns the events between the two ids that match and that the caller may see, oldest first."""
    return _events(await db.fetch(_BETWEEN, *_parameters(filter_, caller), after_id, up_to_id), caller)


async def extent(db: Db) -> LogExtent:
    """Returns the extent of the log. Events up to `horizon` are visible only to statements that start later.

    So the events must not be read in the same transaction.
    """
    (row,) = await db.fetch(_EXTENT)
    return LogExtent(**row)


def _parameters(filter_: EventFilter, caller: Caller | None) -> tuple[Any, ...]:
    return (
        [level.value for level in filter_.levels],
        filter_.host_id,
        None if filter_.system_ids is None else list(filter_.system_ids),
        filter_.operation_id,
        filter_.rack_id,
        filter_.before_id,
        filter_.after_id,
        *seen_by(caller),
        filter_.limit,
        list(filter_.kinds),
        filter_.username,
        filter_.text,
        filter_.since,
        filter_.until,
        MARKED,
        MARKS,
    )


def _events(rows: Iterable[Row], caller: Caller | None) -> tuple[Event, ...]:
    """The details of events without a machine are facts of servers, such as fingerprints: only for administrators."""
    sees_all = caller is None or caller.is_admin
    return tuple(
        Event(
            **{
                **row,
                "level": Level(row["level"]),
                "details": row["details"] if sees_all or row["system_id"] is not None else {},
            }
        )
        for row in rows
    )


async def prune(db: Db, retention: timedelta, *, limit: int) -> int:
    """Deletes up to `limit` events older than `retention`. Returns the number deleted."""
    return int((await db.execute(_PRUNE, retention, limit)).rpartition(" ")[2])
