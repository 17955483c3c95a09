"""SQL of the facts that delay an operation: its lease, its host, and other operations there."""

from __future__ import annotations

from regiond.db.pool import Db
from regiond.operations.model import Operation
from regiond.operations.wait_reason import Ahead, WaitFacts

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


async def wait_facts(db: Db, operation: Operation) -> WaitFacts:
    """Returns the current facts; the defaults if the operation no longer exists."""
    row = await db.fetchrow(_FACTS, operation.id)
    if row is None:
        return WaitFacts()
    ahead = await db.fetch(_AHEAD, operation.id, operation.host_id) if operation.host_id is not None else []
    return WaitFacts(**dict(row), ahead=tuple(Ahead(**dict(each)) for each in ahead))
