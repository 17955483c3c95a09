"""Reads racks and regions as the API shows them: state, age, links and reach."""

from __future__ import annotations

from uuid import UUID

from common.serialization import from_dict
from regiond.db.pool import Db, Row
from regiond.racks.model import UNREACHED_SHOWN, HostReach, RackOfHost, RackRegion, RackRotation, RackView, RegionView
from regiond.requests.audience import shown_to
from regiond.requests.caller import Caller, visible_pool_ids

# The links of a region that has sent no heartbeat for 30 s do not count. The process scope begins with the host name.
_RACKS = """
    select r.id, r.name, r.joined_at, r.seen_at, r.removed_at, r.certificate_fingerprint, r.certificate_expires_at,
           r.release, r.stolen_at, linked.regions,
           case when r.zone_ids is not null
                then array(select z.name from zone z where z.id = any(r.zone_ids) order by z.name) end as zones,
           floor(extract(epoch from now() - coalesce(linked.connected_at, r.seen_at, r.joined_at)))::integer as age_s,
           counted.hosts_reached, counted.hosts_unreached,
           (select coalesce(jsonb_agg(to_jsonb(shown)), '[]')
              from (select h.id as host_id, h.name as host, x.reaches, x.error_code, x.error_message, x.at as since
                      from vm_host h left join rack_reach x on x.host_id = h.id and x.rack_id = r.id
                     where ($2::integer is null or not x.reaches)
                       and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
                       and ($3::integer[] is null or h.pool_id = any($3))
                     order by h.id limit $2) shown) as hosts
      from rack r
     cross join lateral (
           select count(*) filter (where x.reaches) as hosts_reached,
                  count(*) filter (where not x.reaches) as hosts_unreached
             from rack_reach x join vm_host h on h.id = x.host_id
            where x.rack_id = r.id and (r.zone_ids is null or h.zone_id = any(r.zone_ids))) counted
      left join lateral (
           select min(l.connected_at) as connected_at,
                  jsonb_agg(jsonb_build_object('id', p.id, 'hostname', split_part(p.hostname, ' ', 1),
                                               'connected_at', l.connected_at) order by l.connected_at) as regions
             from rack_link l join region_process p on p.id = l.region_id
            where l.rack_id = r.id and p.seen_at > now() - interval '30 seconds') linked on true
     where case when $1::uuid is null then r.removed_at is null else r.id = $1 end
     order by r.name
"""
_OF_HOST = """
    select r.id, r.name, x.reaches, x.error_code, x.error_message, x.at as since,
           exists (select from rack_link l
                     join region_process p on p.id = l.region_id and p.seen_at > now() - interval '30 seconds'
                    where l.rack_id = r.id) as connected
      from rack r
      join vm_host h on h.id = $1 and (r.zone_ids is null or h.zone_id = any(r.zone_ids))
      left join rack_reach x on x.rack_id = r.id and x.host_id = h.id
     where r.removed_at is null
     order by r.name
"""
_REGIONS = """
    select p.id, split_part(p.hostname, ' ', 1) as hostname, p.pid, p.release, p.schema_number, p.rpc_address,
           p.api_url, p.started_at, p.seen_at, p.seen_at > now() - interval '30 seconds' as running, p.id = $1 as here,
           floor(extract(epoch from now() - p.started_at))::integer as age_s,
           greatest(0, floor(extract(epoch from now() - p.seen_at)))::integer as silent_s,
           array(select r.name from rack_link l join rack r on r.id = l.rack_id
                  where l.region_id = p.id order by r.name) as racks,
           array(select o.id from operation o where o.is_open and o.lease_owner = p.id and o.lease_until > now()
                  order by o.id) as operations
      from region_process p
     order by p.started_at, p.id
"""


_ROTATIONS = """
    select o.id as operation_id, coalesce(o.host_name, '') as host, o.state, o.error_message
      from rack_rotation x join operation o on o.id = x.operation_id
     where x.rack_id = $1 order by o.id
"""


async def list_racks(db: Db, *, caller: Caller | None = None) -> tuple[RackView, ...]:
    """Returns the racks that are not removed, by name; each with at most UNREACHED_SHOWN hosts that it does not reach.

    Names of hosts that the caller may not see are left out.
    """
    rows = await db.fetch(_RACKS, None, UNREACHED_SHOWN, visible_pool_ids(caller))
    return shown_to(caller, tuple(_rack(row) for row in rows))


async def read_rack(db: Db, rack_id: UUID, *, caller: Caller | None = None) -> RackView | None:
    """Returns a rack, also a removed one, with its reach of every host that the caller may see."""
    row = await db.fetchrow(_RACKS, rack_id, None, visible_pool_ids(caller))
    return None if row is None else shown_to(caller, _rack(row))


async def racks_of_host(db: Db, host_id: int, *, caller: Caller | None = None) -> tuple[RackOfHost, ...]:
    """Returns the racks that serve the host's zone, by name; none of a host that does not exist."""
    return shown_to(caller, tuple(RackOfHost(**row) for row in await db.fetch(_OF_HOST, host_id)))


async def list_regions(db: Db, own_id: UUID) -> tuple[RegionView, ...]:
    """Returns the region processes in the order of their start; `own_id` is the id of this one."""
    return tuple(
        RegionView(**{**dict(row), "racks": tuple(row["racks"]), "operations": tuple(row["operations"])})
        for row in await db.fetch(_REGIONS, own_id)
    )


async def list_rotations(db: Db, rack_id: UUID) -> tuple[RackRotation, ...]:
    """Returns the rotations of credentials that the rack had, in the order in which they were opened."""
    return tuple(RackRotation(**row) for row in await db.fetch(_ROTATIONS, rack_id))


def _rack(row: Row) -> RackView:
    regions = tuple(from_dict(region, RackRegion) for region in row["regions"] or ())
    hosts = tuple(from_dict(host, HostReach) for host in row["hosts"])
    zones = None if row["zones"] is None else tuple(row["zones"])
    return RackView(**{**dict(row), "connected": bool(regions), "regions": regions, "hosts": hosts, "zones": zones})
