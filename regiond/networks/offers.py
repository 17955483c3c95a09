"""What the cards of guests can be attached to, as placement asks for it: all of many hosts in one query."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import asyncpg

from common.values import NicKind
from regiond.placement.model import InterfaceOffer, SubnetOffer

if TYPE_CHECKING:
    from regiond.db.pool import Db

# A VLAN of a port takes its virtual functions from the port; other interfaces made of ports have none. An interface is
# in the subnets that the host has addresses of there, and in those of its VLAN: most bridges have no address, and
# libvirt tells none.
_OFFERS = """
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
      left join counted_resource c
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


async def of_hosts(db: Db, host_ids: Iterable[int]) -> Mapping[int, tuple[InterfaceOffer, ...]]:
    """By host, in the order of their ids; a host without any is not in it. Those not seen any more are left out."""
    found: defaultdict[int, list[InterfaceOffer]] = defaultdict(list)
    for row in await db.fetch(_OFFERS, list(host_ids)):
        found[row["host_id"]].append(_offer(row))
    return {host_id: tuple(offers) for host_id, offers in found.items()}


@lru_cache(maxsize=20_000)  # a row that reads as before is the same offer: every claim looks at many hosts anew
def _offer(row: asyncpg.Record) -> InterfaceOffer:
    told = {name: value for name, value in row.items() if name != "host_id"}
    told["kind"] = NicKind(row["kind"])
    told["tags"] = tuple(json.loads(row["tags"]))
    told["subnets"] = tuple(
        SubnetOffer(id=id, name=name, cidr=cidr) for id, name, cidr in json.loads(row["subnets"] or "[]")
    )
    return InterfaceOffer(**told)
