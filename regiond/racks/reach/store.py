"""Rows of the reach of racks: the last attempt of each rack at each host."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from common.errors import InnkeeperError
from regiond.db.pool import Db
from regiond.racks.reach_model import (
    CONNECTION_ERROR_CODES,
    AwaitedRack,
    DisconnectedRack,
    RackCandidate,
    RecordedReach,
    WaitLimits,
)
from regiond.requests.identifiers import storable

# Writes only changes.
_CODES = list(CONNECTION_ERROR_CODES)

_RECORD_REACH = """
    with host as (
        select id, state = 'unreachable' and error_code = any($6::text[]) as lost from vm_host where id = $2
    ), recorded as (
        insert into rack_reach (rack_id, host_id, reaches, error_code, error_message)
        select $1, host.id, $3, $4, $5 from host
         where exists (select from rack where id = $1 and removed_at is null)
           and not exists (
                select from rack_reach
                 where rack_id = $1 and host_id = $2 and reaches = $3
                   and error_code is not distinct from $4 and error_message is not distinct from $5)
        on conflict (rack_id, host_id) do update
           set reaches = excluded.reaches, error_code = excluded.error_code, error_message = excluded.error_message,
               at = now()
        returning 1
    )
    select exists (select from recorded) as changed, coalesce((select lost from host), false) as host_lost
"""

_CANDIDATES = """
    select r.id as rack_id, r.name, bool_or(l.region_id = $2) as here,
           x.reaches, x.error_code, x.error_message, x.at as since,
           h.state = 'unreachable' and coalesce(h.error_code = any($3::text[]), false) as host_lost
      from rack r
      join rack_link l on l.rack_id = r.id
      join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
      join vm_host h on h.id = $1 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
      left join rack_reach x on x.rack_id = r.id and x.host_id = $1
     where r.removed_at is null
     group by r.id, r.name, x.reaches, x.error_code, x.error_message, x.at, h.state, h.error_code
"""

_UNREACHED_HOSTS = """
    select h.id from vm_host h
     where h.state = 'ready'
       and not exists (select from rack_reach x
                         join rack r on r.id = x.rack_id and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                         join rack_link l on l.rack_id = x.rack_id
                         join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                        where x.host_id = h.id and x.reaches)
"""
_UNTRIED_HOSTS = """
    select l.rack_id, h.id as host_id
      from rack_link l
      join rack r on r.id = l.rack_id
      join vm_host h on r.zone_ids is null or h.zone_id = any(r.zone_ids)
     where l.region_id = $1 and h.state = 'ready'
       and not exists (select from rack_reach x where x.rack_id = l.rack_id and x.host_id = h.id)
     order by h.id, l.rack_id
     limit 1000
"""
_DISCONNECTED_RACKS = """
    select r.name, r.seen_at
      from rack r
      join rack_reach x on x.rack_id = r.id and x.host_id = $1 and x.reaches
      join vm_host h on h.id = $1 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
     where r.removed_at is null
       and not (r.id = any($3::uuid[]))
       and not exists (select from rack_link l
                         join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                        where l.rack_id = r.id and l.region_id <> $2)
     order by r.name
"""

# Removed racks count too: their calls may continue.
_RACKS_TO_WAIT_FOR = """
    select r.id as rack_id, r.name, lost.s as lost_s
      from rack r
      join vm_host h on h.id = $1 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
      cross join lateral (select $4::float8 + coalesce(r.link_idle_timeout_s, $5::float8) as s) lost
     where case when r.id = any($7::uuid[]) then now() < $2::timestamptz + make_interval(secs => $3)
                else not (r.id = any($6::uuid[])) and now() < $2::timestamptz + make_interval(secs => lost.s)
                     and r.seen_at > $2::timestamptz - make_interval(secs => lost.s) end
     order by r.name
"""

# A rack has been seen at most ten seconds ago while it has a link.
_RACKS_THAT_MAY_HAVE_CALLED = """
    select r.name
      from rack r
      join vm_host h on h.id = $1 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
     where r.removed_at is null and not (r.id = any($3::uuid[])) and ($4::timestamptz is null or now() < $4)
       and r.seen_at > $2::timestamptz - interval '15 seconds'
     order by r.name
"""


async def record_reach(db: Db, rack_id: UUID, host_id: int, error: InnkeeperError | None) -> RecordedReach:
    """Records that the rack reached the host, or the error. Writes only changes."""
    code, message = (error.code, storable(error.message)) if error else (None, None)
    (row,) = await db.fetch(_RECORD_REACH, rack_id, host_id, error is None, code, message, _CODES)
    return RecordedReach(**row)


async def candidates(db: Db, host_id: int, region_id: UUID) -> tuple[RackCandidate, ...]:
    return tuple(RackCandidate(**row) for row in await db.fetch(_CANDIDATES, host_id, region_id, _CODES))


async def disconnected_racks(
    db: Db, host_id: int, region_id: UUID, linked: Collection[UUID]
) -> tuple[DisconnectedRack, ...]:
    """Returns the racks whose last attempt reached the host and that have no link now.

    `linked` are the racks with a link to this region, whose own rows can be late.
    """
    rows = await db.fetch(_DISCONNECTED_RACKS, host_id, region_id, list(linked))
    return tuple(DisconnectedRack(**row) for row in rows)


async def racks_to_wait_for(
    db: Db, host_id: int, waits: WaitLimits, *, ended: Collection[UUID], running: Collection[UUID]
) -> Sequence[AwaitedRack]:
    """Returns the racks for the zone of the host that may run a call since before `waits.since`, by name.

    A rack may run a call if it is one of `running`, or if it is not one of `ended` and had a link so shortly before
    `waits.since` that its calls may not have ended by then. Racks for which the time in `waits` is over are left out.
    """
    rows = await db.fetch(
        _RACKS_TO_WAIT_FOR, host_id, waits.since, waits.running_s, waits.lost_margin_s, waits.idle_timeout_s,
        list(ended), list(running),
    )  # fmt: skip
    return [AwaitedRack(**row) for row in rows]


async def racks_that_may_have_called(
    db: Db, host_id: int, *, since: datetime, until: datetime | None, ended: Collection[UUID]
) -> tuple[str, ...]:
    """Returns the names of racks for the zone of the host that had a link after `since`, except those in `ended`.

    Returns none after `until`, if that is given.
    """
    rows = await db.fetch(_RACKS_THAT_MAY_HAVE_CALLED, host_id, since, list(ended), until)
    return tuple(row["name"] for row in rows)


async def untried_hosts(db: Db, region_id: UUID) -> tuple[tuple[UUID, int], ...]:
    return tuple((row["rack_id"], row["host_id"]) for row in await db.fetch(_UNTRIED_HOSTS, region_id))


async def unreached_hosts(db: Db) -> tuple[int, ...]:
    """Returns the ready hosts that no connected rack reaches."""
    return tuple(row["id"] for row in await db.fetch(_UNREACHED_HOSTS))
