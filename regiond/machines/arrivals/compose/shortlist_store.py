"""Selects a shortlist of candidates from all hosts by one query, and counts the other hosts by reason."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from attrs import evolve, frozen

from common.errors import LinkLost, RackUnreachable
from regiond.db.pool import Db
from regiond.ledger.claimable import CLAIMED_OF_STORAGE
from regiond.machines.arrivals.compose.network_constraints import nic_columns
from regiond.machines.core.candidate_store import CANDIDATE_COLUMNS, CANDIDATE_TABLES, candidates_of
from regiond.placement.affinity import NO_MEMBERS, GroupMembers, group_restrictions
from regiond.placement.candidate import Candidate
from regiond.placement.checks import SUMMARY, Check
from regiond.placement.evaluation import needs_nodes
from regiond.placement.requirements import ANY_HOST, DEFAULT_ROOT_BYTES, PinRequirement, Requirements, Strategy

_RACK_ERRORS = ["none", RackUnreachable.code, LinkLost.code]

# `lacking` is the first shortage of a host, in the order in which placement evaluates; NULL if the host may fit.
# Placement alone checks disk tags, several disks, which cores and pages are on one node, most interface conditions,
# and the last digit of a ratio. Rows stay a few numbers wide until the shortlist is chosen. Among hosts that do not
# fit, those that pass the request's filter come first.
#
# $1 connected racks; $2 architecture; $3 cores; $4 MiB of general memory; $5 bytes of the largest disk; $6 1 to spread,
# -1 to pack; $7 and $8 `named` and `limit`; $9 whether the request has no host filter; $10 and $25 hosts, excluded
# hosts; $11 and $12 zones, $13 and $14 resource pools, $15 and $16 tags, $26 and $27 types, $28 and $29 architectures,
# each wanted and excluded; $17 MHz; $18 ids of the cores to pin, $19 their number if any will do; $20 KiB in huge pages
# and $21 of one page; $22 columns of the NICs' interfaces and $23 the number of these NICs; $24 whether the pages must
# be on one NUMA node; $30 errors of a host that are about racks, so that its racks decide; $31 hosts that affinity
# groups exclude, $32 the only ones they allow, or NULL; $33 hosts with $34 their weights: the lower is preferred;
# $35 the resource pools that the caller may use, or NULL: other hosts do not exist for it.
_SHORTLIST = f"""
    with failed as (
        select host_id, count(*) as racks
          from (select host_id, rack_id from rack_reach where rack_id = any($1::uuid[]) and not reaches
                union
                select h.id, r.id from rack r join vm_host h on h.zone_id <> all(r.zone_ids)
                 where r.id = any($1::uuid[])) unable
         group by host_id
    ), storage as (
        select server_id, max(total_bytes - used_elsewhere_bytes - {CLAIMED_OF_STORAGE}) as bytes
          from storage_pool p where missing_since is null and status = 'available' group by server_id
    ), paged as (
        select server_id, max(kib) as kib
          from (select r.server_id, sum(greatest(r.total - r.claimed, 0) * page.kib) as kib
                  from discrete_resource r,
                       lateral (select split_part(r.key, '/', 1) as node, split_part(r.key, '/', 2)::bigint as kib) page
                 where $20::bigint > 0 and r.resource = 'huge_pages' and $20 % page.kib = 0
                   and ($21::bigint is null or page.kib = $21)
                 group by r.server_id, page.kib, case when $24::boolean then page.node end) alike
         group by server_id
    ), wired as (
        select i.host_id
          from jsonb_to_recordset($22::jsonb) wanted (nic integer, spaces integer[], subnets integer[],
                                                     subnet_vlans integer[], vids integer[], types text[], names text[])
          join host_interface i on i.missing_since is null and i.attachable and i.active
               and (wanted.types is null or i.type = any(wanted.types))
               and (wanted.names is null or i.name = any(wanted.names))
          left join vlan v on v.id = i.vlan_id
         where (wanted.spaces is null or v.space_id = any(wanted.spaces))
           and (wanted.vids is null or coalesce(v.vid, i.vid) = any(wanted.vids))
           and (wanted.subnets is null or i.vlan_id = any(wanted.subnet_vlans)
                or exists (select from host_interface_address a
                            where a.interface_id = i.id and a.subnet_id = any(wanted.subnets)))
         group by i.host_id having count(distinct wanted.nic) = $23::integer
    ), measured as (
        select h.id, h.state, h.maintenance_since, h.server_id, s.architecture,
               coalesce(f.racks, 0) < cardinality($1) as reachable,
               h.state = 'unreachable' and coalesce(h.error_code, 'none') <> all($30::text[]) as lost,
               case when $9::boolean then null
                    when cardinality($10::integer[]) > 0 and h.id <> all($10) then 'host'
                    when h.id = any($25::integer[]) then 'host'
                    when cardinality($26::text[]) > 0 and h.driver <> all($26) or h.driver = any($27::text[])
                         then 'type'
                    when cardinality($11::text[]) > 0
                         and h.zone_id <> all(array(select id from zone where name = any($11)))
                      or h.zone_id = any(array(select id from zone where name = any($12::text[]))) then 'zone'
                    when cardinality($13::text[]) > 0
                         and h.pool_id <> all(array(select id from resource_pool where name = any($13)))
                      or h.pool_id = any(array(select id from resource_pool where name = any($14::text[]))) then 'pool'
                    when not h.tags @> $15::text[] or h.tags && $16::text[] then 'tags'
                    when cardinality($28::text[]) > 0 and s.architecture <> all($28)
                      or s.architecture = any($29::text[]) then 'architecture'
               end as excluded, s.cpu_speed_mhz, s.cores - h.reserved_cores as whole_cores,
               s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib as whole_memory_mib,
               floor(greatest(0, s.cores - h.reserved_cores) * h.cpu_over_commit_ratio + 1e-6) as cores,
               s.cores_claimed + $3::bigint as cores_then,
               floor(greatest(0, s.memory_mib - s.huge_memory_mib - h.reserved_memory_mib)
                     * h.memory_over_commit_ratio + 1e-6) as memory_mib,
               s.memory_mib_claimed + $4::bigint as memory_mib_then, r.bytes as free_bytes,
               s.pinned_core_ids, s.numa_nodes, p.kib as pages_kib,
               $23 = 0 or h.id in (select host_id from wired) as wired
          from vm_host h
          left join server s on s.id = h.server_id
          left join storage r on r.server_id = h.server_id
          left join paged p on p.server_id = h.server_id
          left join failed f on f.host_id = h.id
         where $35::integer[] is null or h.pool_id = any($35)
    ), judged as materialized (
        select id, reachable, lost, excluded is not null as excluded,
               case when excluded is not null then excluded
                    when id = any($31::integer[]) or id <> all($32::integer[]) then 'groups'
                    when state = 'removing' then 'removing'
                    when maintenance_since is not null then 'maintenance'
                    when server_id is null then 'unknown'
                    when not reachable then 'unreachable'
                    when lost then 'lost'
                    when architecture <> $2::text then 'architecture'
                    when cpu_speed_mhz < $17::integer then 'speed'
                    when cores_then > cores or $3 > whole_cores then 'cores'
                    when $4 > 0 and (memory_mib_then > memory_mib or $4 > whole_memory_mib) then 'memory'
                    when pinned_core_ids && $18::integer[] then 'pins'
                    when $19::integer > 0 and not exists (
                         select from jsonb_array_elements(numa_nodes) node
                          where $19 <= (select count(*) from jsonb_array_elements_text(node -> 'core_ids') core
                                         where core::integer <> all(pinned_core_ids))) then 'pins'
                    when $20 > 0 and coalesce(pages_kib, 0) < $20 then 'pages'
                    when coalesce(free_bytes, -1) < $5::bigint then 'storage'
                    when not wired then 'network'
               end as lacking,
               floor(1e6 * least((cores - cores_then) / nullif(cores, 0),
                                 (memory_mib - memory_mib_then) / nullif(memory_mib, 0)) + 0.5) as headroom
          from measured
    ), shortlist as (
        select judged.* from judged left join unnest($33::integer[], $34::bigint[]) w (host_id, weight) on host_id = id
         order by lacking is not null, excluded, lacking is not distinct from 'groups', coalesce(weight, 0),
                  $6::integer * headroom desc nulls last, id
         limit (select case when count(*) <= $7::bigint then $7
                            when count(*) filter (where not excluded) <= $7
                            then greatest(count(*) filter (where not excluded), $8::bigint)
                            else $8 end
                  from judged)
    )
    select shortlist.lacking, shortlist.reachable, shortlist.lost, {CANDIDATE_COLUMNS},
           (select jsonb_object_agg(coalesce(lacking, 'nothing'), hosts)::text
              from (select lacking, count(*) as hosts from judged group by lacking) alike) as all_hosts
      from shortlist join vm_host h on h.id = shortlist.id {CANDIDATE_TABLES}
"""  # noqa: S608  a constant


@frozen(kw_only=True)
class Shortlist:
    """A shortlist. `fitting` counts all hosts that may fit, `summarized` the hosts without a candidate by reason."""

    candidates: tuple[Candidate, ...]
    fitting: int
    summarized: Mapping[str, int]


async def read_shortlist(
    db: Db,
    requirements: Requirements,
    racks: Sequence[UUID],
    *,
    strategy: Strategy,
    named: int,
    limit: int,
    members: GroupMembers = NO_MEMBERS,
) -> Shortlist:
    """Returns all hosts that pass the filter if they are at most `named`, otherwise the best `limit`."""
    largest_bytes = max((disk.size_bytes or DEFAULT_ROOT_BYTES for disk in requirements.disks), default=0)
    sign = 1 if strategy == "spread" else -1
    hosts, pins = requirements.hosts, requirements.pins or PinRequirement()
    general_mib, huge_mib = requirements.memory_mib, 0
    if requirements.huge_pages:
        general_mib, huge_mib = huge_mib, general_mib
    one_node = requirements.one_numa_node or pins.count is not None
    nics = await nic_columns(db, requirements.nics)
    groups = group_restrictions(requirements.groups, members.known_to(hosts.within_pool_ids))
    is_unfiltered = evolve(hosts, within_pool_ids=None) == ANY_HOST
    only = None if groups.only_host_ids is None else sorted(groups.only_host_ids)
    rows = await db.fetch(
        _SHORTLIST, list(racks), requirements.architecture, requirements.cores, general_mib, largest_bytes, sign,
        named, limit, is_unfiltered, sorted(hosts.host_ids), hosts.zones, hosts.not_zones, hosts.pools,
        hosts.not_pools, hosts.tags, hosts.not_tags, requirements.cpu_speed_mhz, pins.core_ids, pins.count or 0,
        huge_mib * 1024, requirements.huge_page_size_kib, nics, len(nics), one_node,
        sorted(hosts.not_host_ids | hosts.tried_host_ids), hosts.drivers, hosts.not_drivers, hosts.architectures,
        hosts.not_architectures, _RACK_ERRORS, sorted(groups.excluded_host_ids), only, list(groups.weights),
        list(groups.weights.values()), None if hosts.within_pool_ids is None else sorted(hosts.within_pool_ids),
    )  # fmt: skip
    counted: Mapping[str, int] = json.loads(rows[0]["all_hosts"]) if rows else {}
    others = Counter({_check(lacking): hosts for lacking, hosts in counted.items()})
    others.subtract(_check(row["lacking"]) for row in rows)
    return Shortlist(
        candidates=await candidates_of(db, rows, with_nodes=needs_nodes(requirements)),
        fitting=counted.get("nothing", 0),
        summarized={SUMMARY[lacking]: hosts for lacking, hosts in others.items() if hosts},
    )


def _check(lacking: str | None) -> Check:
    """The query calls what a host lacks as placement does, and a host that may fit `nothing` or NULL."""
    return Check.RANK if lacking in {None, "nothing"} else Check(lacking)
