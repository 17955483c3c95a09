"""Reads hosts and racks: states, and the age of the data of hosts; never one series a host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

from common.process.metric_families import Family, Sample
from regiond.db.pool import Db
from regiond.hosts.model import HostState
from regiond.metrics.families import Reading

_HOSTS = Family(name="hosts", text="VM hosts, by state.", labels=("state",))
_AGE = Family(
    name="host_refresh_oldest_age_seconds",
    text="Longest time since the last successful refresh of a VM host, or since it was added, by state of the host.",
    labels=("state",),
)
_OVERDUE = Family(
    name="hosts_overdue",
    text="VM hosts whose last successful refresh is too long ago, by state of the host.",
    labels=("state",),
)
_RACKS = Family(name="racks", text="Racks, by state: connected to a region, or away.", labels=("state",))

# A host in maintenance may be switched off: nobody expects a refresh.
_READ_HOSTS = """
    select h.state, count(*)::integer as number,
           max(extract(epoch from now() - coalesce(v.refreshed_at, h.created_at)))
             filter (where h.maintenance_since is null)::float8 as age_s,
           count(*) filter (where h.maintenance_since is null
                              and coalesce(v.refreshed_at, h.created_at) < now() - $1::interval)::integer as overdue
      from vm_host h left join vm_host_schedule v on v.host_id = h.id
     group by h.state
"""
# The links of a region that has sent no heartbeat for 30 s do not count.
_READ_RACKS = """
    select count(*)::integer as known,
           count(*) filter (where exists (
               select from rack_link l join region_process p on p.id = l.region_id
                where l.rack_id = r.id and p.seen_at > now() - interval '30 seconds'))::integer as connected
      from rack r where r.removed_at is null
"""


def hosts(stale_after: timedelta) -> Reading:
    """Returns the reading. A host is overdue if its last refresh is `stale_after` ago, as on the pages."""

    async def read(db: Db) -> AsyncIterator[Sample]:
        rows = {row["state"]: row for row in await db.fetch(_READ_HOSTS, stale_after)}
        for state in HostState:
            row = rows.get(state.value)
            yield Sample(_HOSTS, row["number"] if row else 0, (state.value,))
            if state is not HostState.REMOVING:
                yield Sample(_OVERDUE, row["overdue"] if row else 0, (state.value,))
                yield Sample(_AGE, (row["age_s"] if row else None) or 0.0, (state.value,))

    return Reading(name="hosts", families=(_HOSTS, _OVERDUE, _AGE), read=read)


async def _read_racks(db: Db) -> AsyncIterator[Sample]:
    for row in await db.fetch(_READ_RACKS):
        yield Sample(_RACKS, row["connected"], ("connected",))
        yield Sample(_RACKS, row["known"] - row["connected"], ("away",))


RACKS = Reading(name="racks", families=(_RACKS,), read=_read_racks)
