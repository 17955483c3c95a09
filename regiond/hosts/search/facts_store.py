"""SQL for the facts by which hosts are searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from attrs import evolve

from common.trust.expiry import SOON_DAYS
from common.values import DriverType
from regiond.db.pool import Db, Row
from regiond.hosts.error_details import PRODUCT
from regiond.hosts.model import CONSOLE_TAG, GuestCount, HostState
from regiond.hosts.search.fields import HostFacts, Needs
from regiond.hosts.views.guest_view_store import guest_counts
from regiond.hosts.views.host_condition import judge
from regiond.ledger.capacities import capacities_of_hosts
from regiond.ledger.claimable import MOST_CLAIMABLE
from regiond.requests.caller import Caller, visible_pool_ids

# Conditions of the list of what needs attention, `regiond.attention.conditions`, that `judge` does not know.
_NEEDS_ATTENTION = f"""
    h.problems <> '[]'
    or exists (select from ({MOST_CLAIMABLE}) most
                where s.cores_claimed > most.cores or s.memory_mib_claimed > most.memory_mib)
    or least(h.pinned_expires_at, (select expires_at from key_pair k where k.id = h.key_pair_id))
       < now() + interval '{SOON_DAYS} days'
"""  # noqa: S608  # our own texts
_FACTS = f"""
    select h.id, h.name, h.driver, h.address, h.project, h.state, h.error_code, h.tags, z.name as zone,
           p.name as pool, c.name as cluster, s.architecture, s.hypervisor_version as version, v.refreshed_at,
           {PRODUCT} as product,
           h.maintenance_since is not null as in_maintenance, now() as now,
           h.state <> 'removing' and coalesce({_NEEDS_ATTENTION}, false) as needs_attention
      from vm_host h
      join zone z on z.id = h.zone_id
      join resource_pool p on p.id = h.pool_id
      left join server s on s.id = h.server_id
      left join cluster c on c.id = h.cluster_id
      left join vm_host_schedule v on v.host_id = h.id
     where $1::integer[] is null or h.pool_id = any($1)
     order by h.id
"""  # noqa: S608  # our own texts
_ZONES = "select name from zone order by 1"
_POOLS = "select name from resource_pool where $1::integer[] is null or id = any($1) order by 1"
_NO_GUESTS = GuestCount()


async def facts(db: Db, needs: Needs, *, stale_after: timedelta, caller: Caller | None = None) -> tuple[HostFacts, ...]:
    """Returns the hosts that the caller may see, by id."""
    rows = await db.fetch(_FACTS, visible_pool_ids(caller))
    ids = [row["id"] for row in rows]
    counts = await guest_counts(db, ids) if needs.machines else {}
    sees_addresses = caller is None or caller.is_admin
    found = tuple(
        _facts(row, counts.get(row["id"], _NO_GUESTS), sees_addresses=sees_addresses, stale_after=stale_after)
        for row in rows
    )
    if not needs.capacity:
        return found
    known = {one.host_id: one.capacity for one in await capacities_of_hosts(db, ids)}
    return tuple(evolve(host, capacity=known.get(host.id)) for host in found)


async def names(db: Db, hosts: Sequence[HostFacts], *, caller: Caller | None = None) -> Mapping[str, Sequence[str]]:
    """Returns the names that a search for these hosts may use, by field."""
    return {
        "zone": [row["name"] for row in await db.fetch(_ZONES)],
        "pool": [row["name"] for row in await db.fetch(_POOLS, visible_pool_ids(caller))],
        "cluster": sorted({host.cluster for host in hosts if host.cluster}),
        "project": sorted({host.project for host in hosts if host.project}),
        "tag": sorted({tag for host in hosts for tag in host.tags} - {CONSOLE_TAG}),
        "arch": sorted({host.architecture for host in hosts if host.architecture}),
    }


def _facts(row: Row, guests: GuestCount, *, sees_addresses: bool, stale_after: timedelta) -> HostFacts:
    judgement = judge(
        HostState(row["state"]), row["error_code"], row["refreshed_at"], row["now"],
        in_maintenance=row["in_maintenance"], stale_after=stale_after,
    )  # fmt: skip
    return HostFacts(
        id=row["id"],
        name=row["name"],
        driver=DriverType(row["driver"]),
        product=row["product"],
        address=row["address"] if sees_addresses else "",
        project=row["project"],
        zone=row["zone"],
        pool=row["pool"],
        cluster=row["cluster"],
        tags=tuple(row["tags"]),
        architecture=row["architecture"],
        version=row["version"],
        judgement=judgement,
        needs_attention=judgement.needs_attention or row["needs_attention"],
        machines=guests.machines,
    )
