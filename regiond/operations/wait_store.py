"""SQL of what delays an operation: its lease, its host, other operations there; and of its wake."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.operations import store
from regiond.operations.model import Operation
from regiond.operations.wait_reason import Ahead, WaitFacts
from regiond.requests.caller import Caller

# Events are found by their time, so the search is limited to one day.
_FACTS = """
    select coalesce(o.lease_until > now(), false) as leased,
           o.not_before < now() - interval '3 seconds' as overdue,
           coalesce(o.started_at < now() - interval '20 seconds', false) as slow,
           h.state as host_state, h.error_message as host_error,
           case when h.state = 'unreachable' then
               (select e.at from event e
                 where e.at > now() - interval '1 day' and e.kind = 'host_unreachable' and e.host_id = h.id
                 order by e.at desc limit 1) end as unreachable_at,
           h.id is null or exists (
               select from rack_link l
                 join rack r on r.id = l.rack_id and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                 left join rack_reach x on x.rack_id = l.rack_id and x.host_id = h.id
                where x.reaches is distinct from false) as reached
      from operation o left join vm_host h on h.id = o.host_id
     where o.id = $1
"""

_AHEAD = """
    select id, kind, coalesce(hostname, system_id) as machine
      from operation
     where is_open and host_id = $2 and id <> $1 and lease_until > now()
     order by id
"""
_WAKE = """
    with waits as (
        select id from operation
         where lease_owner is null and not_before > now() and ($1::integer is null or host_id = $1)
           and (state = 'undoing' -- its error is the reason for undoing, not for waiting
                or (state = 'waiting' and error_code in (
                    'rack_unreachable', 'link_lost', 'host_unreachable', 'host_hung', 'deadline_exceeded',
                    'cancelled')))
         order by id
           for no key update
    )
    update operation o set not_before = now() from waits where o.id = waits.id
"""


async def wait_facts(db: Db, operation: Operation, *, caller: Caller | None = None) -> WaitFacts:
    """Returns the current facts; the defaults if the operation no longer exists.

    Of operations that the caller may not see it returns only how many there are.
    """
    row = await db.fetchrow(_FACTS, operation.id)
    if row is None:
        return WaitFacts()
    ahead = await db.fetch(_AHEAD, operation.id, operation.host_id) if operation.host_id is not None else []
    visible = await store.visible_ids(db, [each["id"] for each in ahead], caller=caller) if ahead else frozenset()
    named = tuple(Ahead(**dict(each)) for each in ahead if each["id"] in visible)
    return WaitFacts(**dict(row), ahead=named, others_ahead=len(ahead) - len(named))


async def wake_waiting(db: Db, host_id: int | None = None) -> None:
    """Makes operations due that wait for the host (None: for any host) to become reachable. Idempotent."""
    await db.execute(_WAKE, host_id)
