"""Reads the interfaces of hosts for placement: networks, link, and free virtual functions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

import asyncpg

from common.values import NicKind
from regiond.db.pool import Db, of_row
from regiond.placement.candidate import CandidateInterface, CandidateSubnet

# A VLAN interface uses the virtual functions of its port; bonds and bridges have none. An interface is in the subnets
# of its own addresses and of its VLAN: most bridges have no address, and libvirt reports none.
_INTERFACES = """
    select i.host_id, i.id, i.name, i.kind, i.type, i.attachable, i.active, i.dhcp, coalesce(v.vid, i.vid) as vid,
           v.id as vlan_id, v.name as vlan_name, f.id as fabric_id, f.name as fabric_name,
           f.class_type as fabric_class, p.id as space_id, p.name as space_name, to_json(i.tags)::text as tags,
           i.link_speed_mbps, i.parent,
           coalesce(c.total, 0) as functions_total, greatest(coalesce(c.total - c.claimed, 0), 0) as functions_free,
           c.key as function_port, linked.subnets
      from host_interface i
      join vm_host h on h.id = i.host_id
      left join vlan v on v.id = i.vlan_id
      left join fabric f on f.id = v.fabric_id
      left join space p on p.id = v.space_id
      left join discrete_resource c
             on c.server_id = h.server_id and c.resource = 'virtual_functions'
            and c.key = case i.type when 'physical' then i.name when 'vlan' then i.parent end
      left join lateral (
           select json_agg(json_build_array(s.id, s.name, s.cidr::text) order by s.id)::text as subnets
             from subnet s
            where s.id in (select a.subnet_id from host_interface_address a where a.interface_id = i.id
                           union select o.id from subnet o where o.vlan_id = i.vlan_id)) linked on true
     where i.host_id = any($1::integer[]) and i.missing_since is null
     order by i.host_id, i.id
"""


async def available_interfaces(db: Db, host_ids: Iterable[int]) -> Mapping[int, tuple[CandidateInterface, ...]]:
    """Interfaces by host, in the order of their ids, without missing ones. One query for all hosts."""
    found: defaultdict[int, list[CandidateInterface]] = defaultdict(list)
    for row in await db.fetch(_INTERFACES, list(host_ids)):
        found[row["host_id"]].append(_candidate(row))
    return {host_id: tuple(interfaces) for host_id, interfaces in found.items()}


@lru_cache(maxsize=20_000)  # each placement reads many hosts, most of them unchanged
def _candidate(row: asyncpg.Record) -> CandidateInterface:
    subnets = (CandidateSubnet(id=id, name=name, cidr=cidr) for id, name, cidr in json.loads(row["subnets"] or "[]"))
    kind, tags = NicKind(row["kind"]), tuple(json.loads(row["tags"]))
    return of_row(CandidateInterface, row, kind=kind, tags=tags, subnets=tuple(subnets))
