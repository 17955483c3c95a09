"""Reads fabrics, VLANs, subnets and spaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

import asyncpg

from regiond.db.pool import Db, of_row
from regiond.networks.model import Fabric, Space, Subnet, Vlan
from regiond.requests.identifiers import split_reference

NO_VLANS: Mapping[int, Vlan] = {}

_CIDR_PREFIX = "cidr:"  # as MAAS's clients write references to subnets
_VLANS = """
    select v.id, v.vid, v.name, v.mtu, v.fabric_id, f.name as fabric_name, v.space_id, s.name as space_name,
           v.description,
           exists (select from host_interface i
                    where i.vlan_id = v.id and i.dhcp and i.missing_since is null) as dhcp
      from vlan v join fabric f on f.id = v.fabric_id left join space s on s.id = v.space_id
     where ($1::integer[] is null or v.id = any($1))
       and ($2::integer[] is null or v.fabric_id = any($2))
       and ($3::integer[] is null or v.space_id = any($3))
     order by v.fabric_id, v.vid
"""
_FABRICS = """
    select id, name, class_type, description from fabric where $1::integer[] is null or id = any($1) order by id
"""
_FABRIC_ID = "select id from fabric where id::text = $1 or name = $2 order by id::text = $1 desc limit 1"
_SPACES = "select id, name, description from space where $1::integer[] is null or id = any($1) order by id"
_SPACE_ID = "select id from space where id::text = $1 or name = $2 order by id::text = $1 desc limit 1"
_SUBNETS = """
    select id, cidr::text, name, vlan_id, host(gateway_ip) as gateway_ip,
           array(select host(server) from unnest(dns_servers) with ordinality dns (server, rank) order by rank)
             as dns_servers,
           description, managed, allow_dns, allow_proxy, active_discovery, rdns_mode
      from subnet
     where ($1::integer[] is null or id = any($1)) and ($2::integer[] is null or vlan_id = any($2))
     order by id
"""
# By id, else by CIDR, else by name, which several subnets may share.
_SUBNET_IDS = """
    select id from (
        select id, rank() over (order by id::text is distinct from $1, cidr::text is distinct from $1) as rank
          from subnet where id::text = $1 or cidr::text = $1 or name = $2) found
     where rank = 1
     order by id
"""


async def vlans(
    db: Db,
    *,
    ids: Iterable[int] | None = None,
    fabric_ids: Iterable[int] | None = None,
    space_ids: Iterable[int] | None = None,
) -> tuple[Vlan, ...]:
    """The VLANs that match everything given, by fabric and VID."""
    given = (None if one is None else list(one) for one in (ids, fabric_ids, space_ids))
    return tuple(Vlan(**row) for row in await db.fetch(_VLANS, *given))


async def fabrics(db: Db, ids: Iterable[int] | None = None) -> tuple[Fabric, ...]:
    """Returns the fabrics with their VLANs, by id."""
    rows = await db.fetch(_FABRICS, None if ids is None else list(ids))
    of_fabric: defaultdict[int, list[Vlan]] = defaultdict(list)
    for vlan in await vlans(db, fabric_ids=[row["id"] for row in rows]):
        of_fabric[vlan.fabric_id].append(vlan)
    return tuple(Fabric(**row, vlans=tuple(of_fabric[row["id"]])) for row in rows)


async def spaces(db: Db, ids: Iterable[int] | None = None) -> tuple[Space, ...]:
    """Returns the spaces with their VLANs and subnets, by id."""
    rows = await db.fetch(_SPACES, None if ids is None else list(ids))
    of_space: defaultdict[int, list[Vlan]] = defaultdict(list)
    for vlan in await vlans(db, space_ids=[row["id"] for row in rows]):
        of_space[vlan.space_id or 0].append(vlan)
    on_vlan: defaultdict[int, list[Subnet]] = defaultdict(list)
    for subnet in await subnets(db, vlan_ids=[vlan.id for those in of_space.values() for vlan in those]):
        on_vlan[subnet.vlan.id].append(subnet)
    return tuple(
        Space(
            **row,
            vlans=tuple(of_space[row["id"]]),
            subnets=tuple(subnet for vlan in of_space[row["id"]] for subnet in on_vlan[vlan.id]),
        )
        for row in rows
    )


async def subnets(
    db: Db,
    *,
    ids: Iterable[int] | None = None,
    vlan_ids: Iterable[int] | None = None,
    known: Mapping[int, Vlan] = NO_VLANS,
) -> tuple[Subnet, ...]:
    """Returns the subnets, by id. `known` VLANs are not read again."""
    rows = await db.fetch(_SUBNETS, None if ids is None else list(ids), None if vlan_ids is None else list(vlan_ids))
    unknown = {row["vlan_id"] for row in rows} - known.keys()
    more = {vlan.id: vlan for vlan in await vlans(db, ids=unknown)} if unknown else {}
    return tuple(_subnet(row, known.get(row["vlan_id"]) or more[row["vlan_id"]]) for row in rows)


def _subnet(row: asyncpg.Record, vlan: Vlan) -> Subnet:
    return of_row(
        Subnet,
        row,
        cidr=ip_network(row["cidr"]),
        vlan=vlan,
        gateway_ip=None if row["gateway_ip"] is None else ip_address(row["gateway_ip"]),
        dns_servers=tuple(ip_address(server) for server in row["dns_servers"]),
    )


async def fabric_id(db: Db, id_or_name: str) -> int | None:
    """By id, or else by name."""
    found: int | None = await db.fetchval(_FABRIC_ID, *split_reference(id_or_name))
    return found


async def space_id(db: Db, id_or_name: str) -> int | None:
    """By id, or else by name."""
    found: int | None = await db.fetchval(_SPACE_ID, *split_reference(id_or_name))
    return found


async def subnet_ids(db: Db, text: str) -> tuple[int, ...]:
    """The one with this id, else with this CIDR, else all of this name. `cidr:10.0.0.0/24` is only a CIDR."""
    if text.startswith(_CIDR_PREFIX):
        cidr = _network(text.removeprefix(_CIDR_PREFIX))
        return () if cidr is None else tuple(row["id"] for row in await db.fetch(_SUBNET_IDS, cidr, None))
    return tuple(row["id"] for row in await db.fetch(_SUBNET_IDS, *split_reference(text)))


def _network(text: str) -> str | None:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None
