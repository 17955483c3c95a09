"""Rows of the refresh schedule: when each host was refreshed, and when it is due next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from regiond.db.pool import Db
from regiond.racks.model import RACKS_LINK_WITHIN_S

FIRST_RETRY_S, LONGEST_RETRY_S = 2.0, 30.0  # the time doubles after each consecutive failure
AFTER_EVENT_S = 0.3  # events of one change arrive together
BETWEEN_EVENTS_S = 1.0  # from the end of one refresh to the next, while events follow each other

# The statement that takes a host sets its next time, so that only one region refreshes it. If only another live region
# has a rack that may reach the host, that region refreshes it, as with operations. A region that has just started waits
# for the rack that reached the host before. Unreachable hosts, whose refreshes can take long, do not delay other hosts.
_TAKE_DUE = f"""
    update vm_host_schedule v set next_refresh_at = now() + make_interval(secs => $1 * (0.75 + random() / 2))
     where host_id in (select host_id from vm_host_schedule s join vm_host h on h.id = s.host_id
                        where s.next_refresh_at <= now() and h.state <> 'removing'
                          and (exists (select from rack_link l
                                         join rack r on r.id = l.rack_id
                                              and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                                         left join rack_reach x on x.rack_id = l.rack_id and x.host_id = h.id
                                        where l.region_id = $3 and x.reaches is distinct from false)
                               or not exists (select from rack_link l
                                                join region_process p on p.id = l.region_id
                                                     and p.seen_at > now() - interval '30 seconds'
                                                join rack r on r.id = l.rack_id
                                                     and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                                                left join rack_reach x on x.rack_id = l.rack_id and x.host_id = h.id
                                               where l.region_id <> $3 and x.reaches is distinct from false)
                                  and not exists (select from rack_reach x
                                                    join rack r on r.id = x.rack_id and r.removed_at is null
                                                    join region_process p on p.id = $3
                                                   where x.host_id = h.id and x.reaches
                                                     and p.started_at
                                                         > now() - make_interval(secs => {RACKS_LINK_WITHIN_S})
                                                     and r.seen_at < p.started_at))
                        order by h.state = 'unreachable', s.next_refresh_at limit $2 for update of s skip locked)
    returning host_id
"""  # noqa: S608  # our own number
_REFRESHED = """
    update vm_host_schedule set refreshed_at = now(), run_began_at = $2, failures = 0 where host_id = $1
"""
_RETRY = """
    update vm_host_schedule
       set failures = least(failures + 1, 20),
           next_refresh_at = least(next_refresh_at, now() + make_interval(secs => least($3, $2 * 2 ^ failures)))
     where host_id = $1
"""
_IS_REFRESHED_SINCE = """
    select exists (select from vm_host_schedule where host_id = $1 and refreshed_at > now() - make_interval(secs => $2))
"""
# This and _SCHEDULE_MEMBERS lock rows in the order of host_id: two of these statements do not deadlock.
_SCHEDULE_WITHIN = """
    with later as (
        select host_id from vm_host_schedule
         where host_id = any($1::integer[]) and next_refresh_at > now() + make_interval(secs => $2)
         order by host_id for no key update
    )
    update vm_host_schedule v set next_refresh_at = now() + make_interval(secs => $2)
      from later where v.host_id = later.host_id
"""
_AFTER_EVENT = f"""
    update vm_host_schedule v
       set next_refresh_at = least(v.next_refresh_at,
                                   greatest(now() + make_interval(secs => {AFTER_EVENT_S}),
                                            v.refreshed_at + make_interval(secs => {BETWEEN_EVENTS_S})))
"""  # noqa: S608  # our own numbers
_SCHEDULE_AFTER_EVENT = f"""
    {_AFTER_EVENT} where v.host_id = $1 returning extract(epoch from v.next_refresh_at - now())::float8
"""
_SCHEDULE_MEMBERS = f"""
    with members as (
        select s.host_id
          from vm_host h
          join vm_host other on other.cluster_id = h.cluster_id and other.id <> h.id
          join vm_host_schedule s on s.host_id = other.id
         where h.id = $1 and other.member = any($2) and other.state = 'ready'
         order by s.host_id for no key update of s
    )
    {_AFTER_EVENT} from members where v.host_id = members.host_id
"""  # noqa: S608  # our own texts


async def take_due(db: Db, every_s: float, limit: int, region_id: UUID) -> list[int]:
    """Takes at most `limit` due hosts that a rack of the region may reach, or no rack of any other region.

    Each is due again after `every_s`, plus or minus a quarter.
    """
    return [row["host_id"] for row in await db.fetch(_TAKE_DUE, every_s, limit, region_id)]


async def database_time(db: Db) -> datetime:
    """Returns the time now, the same for all regions, also inside a transaction."""
    now: datetime = await db.fetchval("select clock_timestamp()")
    return now


async def set_refreshed(db: Db, host_id: int, *, began_at: datetime | None = None) -> None:
    """Records that a discovery run was applied now, with its start if that is known."""
    await db.execute(_REFRESHED, host_id, began_at)


async def is_refreshed_since(db: Db, host_id: int, seconds: float) -> bool:
    """Returns whether a discovery run was applied within the last `seconds`."""
    found: bool = await db.fetchval(_IS_REFRESHED_SINCE, host_id, seconds)
    return found


async def retry_after_failure(db: Db, host_id: int) -> None:
    """Counts a failed refresh and moves the next one nearer: 2 s after the first consecutive failure, at most 30 s."""
    await db.execute(_RETRY, host_id, FIRST_RETRY_S, LONGEST_RETRY_S)


async def refresh_within(db: Db, host_ids: Iterable[int], seconds: float) -> None:
    """Moves the next refresh of these hosts to at most `seconds` from now. Idempotent."""
    await db.execute(_SCHEDULE_WITHIN, list(host_ids), seconds)


async def refresh_after_event(db: Db, host_id: int) -> float | None:
    """Makes the host due soon, and some time after its last refresh; an earlier time stays.

    Returns the seconds until then, which can be past; None if there is no such host.
    """
    due_in_s: float | None = await db.fetchval(_SCHEDULE_AFTER_EVENT, host_id)
    return None if due_in_s is None else max(0.0, due_in_s)


async def refresh_members(db: Db, host_id: int, members: Iterable[str]) -> None:
    """Makes these other members of the host's cluster due as after an event; one with an error keeps its time."""
    await db.execute(_SCHEDULE_MEMBERS, host_id, list(members))
