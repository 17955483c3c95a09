"""The rows of events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from regiond.events.model import Event, EventFilter, Level

if TYPE_CHECKING:
    from regiond.db.pool import Db

_INSERT = """
    insert into event (kind, level, message, host_id, system_id, operation_id, rack_id, username, details)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    returning id
"""

_LIST = """
    select id, at, kind, level, message, host_id, system_id, operation_id, rack_id, username, details
      from event
     where ($1::text[] = '{}' or level = any($1))
       and ($2::integer is null or host_id = $2)
       and ($3::text is null or system_id = $3)
       and ($4::bigint is null or operation_id = $4)
       and ($5::uuid is null or rack_id = $5)
       and ($6::bigint is null or id < $6)
     order by id desc
     limit $7
"""

_PRUNE = """
    delete from event where id in (select id from event where at < clock_timestamp() - $1::interval limit $2)
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
    details: Mapping[str, Any],
) -> int:
    event_id: int = await db.fetchval(
        _INSERT, kind, level.value, message, host_id, system_id, operation_id, rack_id, username, dict(details)
    )
    return event_id


async def select(db: Db, wanted: EventFilter) -> tuple[Event, ...]:
    rows = await db.fetch(
        _LIST,
        [level.value for level in wanted.levels],
        wanted.host_id,
        wanted.system_id,
        wanted.operation_id,
        wanted.rack_id,
        wanted.before_id,
        wanted.limit,
    )
    return tuple(Event(**{**row, "level": Level(row["level"])}) for row in rows)


async def prune(db: Db, keep: timedelta, *, limit: int) -> int:
    """Delete up to `limit` events older than `keep`; returns how many went."""
    return int((await db.execute(_PRUNE, keep, limit)).rpartition(" ")[2])
