"""Rows of discovered interfaces, subnets and IP ranges.

Writers hold the lock of `base_service.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address, ip_network

import asyncpg

from regiond.db.pool import Db, of_row
from regiond.networks import change_store
from regiond.networks.discovery.interface_facts import InterfaceKey, InterfaceRecord, cidr_order, sorted_links
from regiond.networks.discovery.l2_segments import VlanKey
from regiond.networks.discovery.model import KnownInterface, KnownNetworks, KnownSubnet, NetworkChanges
from regiond.networks.model import Network

_INTERFACES = """
    select i.name, i.kind, i.type, i.mac_address, i.parent, i.vid, i.attachable, i.active, i.dhcp, i.link_speed_mbps,
           i.virtual_functions, i.dhcp_ranges, i.vlan_set_by_user, i.missing_since is not null as missing,
           v.fabric_id, v.vid as vlan_vid,
           (select jsonb_agg(jsonb_build_array(s.cidr::text, host(a.address)))
              from host_interface_address a join subnet s on s.id = a.subnet_id
             where a.interface_id = i.id) as links
      from host_interface i left join vlan v on v.id = i.vlan_id
     where i.host_id = $1
"""
_SUBNETS = """
    select s.cidr::text, v.fabric_id, v.vid, host(s.gateway_ip) as gateway, s.gateway_set_by_user
      from subnet s join vlan v on v.id = s.vlan_id
     where s.cidr = any($1::cidr[])
"""
_HOST_NAME = "select name from vm_host where id = $1"
_VLAN_ID = "select id from vlan where fabric_id = $1 and vid = $2"
_WRITE_INTERFACE = """
    insert into host_interface (host_id, name, kind, type, mac_address, parent, vid, attachable, active, dhcp,
                                link_speed_mbps, virtual_functions, dhcp_ranges, vlan_id)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    on conflict (host_id, kind, name) do update
       set type = excluded.type, mac_address = excluded.mac_address, parent = excluded.parent, vid = excluded.vid,
           attachable = excluded.attachable, active = excluded.active, dhcp = excluded.dhcp,
           link_speed_mbps = excluded.link_speed_mbps, virtual_functions = excluded.virtual_functions,
           dhcp_ranges = excluded.dhcp_ranges, vlan_id = excluded.vlan_id, missing_since = null
    returning id
"""
_DROP_LINKS = """
    delete from host_interface_address a using subnet s
     where a.interface_id = $1 and s.id = a.subnet_id and s.cidr <> all($2::cidr[])
"""
_WRITE_LINKS = """
    insert into host_interface_address (interface_id, subnet_id, address)
    select $1, s.id, reported.address
      from unnest($2::cidr[], $3::inet[]) reported (cidr, address) join subnet s on s.cidr = reported.cidr
    on conflict (interface_id, subnet_id) do update set address = excluded.address
     where host_interface_address.address is distinct from excluded.address
"""
_CHANGE_KIND = "update host_interface set kind = $4 where host_id = $1 and kind = $2 and name = $3"
_SET_MISSING = """
    update host_interface i set missing_since = now()
      from unnest($2::text[], $3::text[]) absent (kind, name)
     where i.host_id = $1 and i.kind = absent.kind and i.name = absent.name and i.missing_since is null
"""
_SET_GATEWAY = "update subnet set gateway_ip = $2 where cidr = $1 and gateway_ip is null and not gateway_set_by_user"
# The ranges that DHCP servers of any host hand out in these subnets, each once.
_WRITE_RANGES = """
    with reported as (
        select distinct s.id as subnet_id, split_part(range, '-', 1)::inet as start_ip,
               split_part(range, '-', 2)::inet as end_ip
          from subnet s
          join host_interface_address a on a.subnet_id = s.id
          join host_interface i on i.id = a.interface_id and i.missing_since is null
          cross join unnest(i.dhcp_ranges) range
         where s.cidr = any($1::cidr[]) and split_part(range, '-', 1)::inet << s.cidr
           and split_part(range, '-', 2)::inet << s.cidr),
    known as (
        select r.id, r.subnet_id, r.start_ip, r.end_ip
          from ip_range r join subnet s on s.id = r.subnet_id
         where r.discovered and s.cidr = any($1::cidr[])),
    dropped as (
        delete from ip_range
         where id in (select k.id from known k
                       where not exists (select from reported t where (t.subnet_id, t.start_ip, t.end_ip) =
                                                                  (k.subnet_id, k.start_ip, k.end_ip))))
    insert into ip_range (subnet_id, type, start_ip, end_ip, discovered)
    select t.subnet_id, 'dynamic', t.start_ip, t.end_ip, true
      from reported t
     where not exists (select from known k where (t.subnet_id, t.start_ip, t.end_ip) =
                                                 (k.subnet_id, k.start_ip, k.end_ip))
     order by t.subnet_id, t.start_ip, t.end_ip
"""


async def read_known(db: Db, host_id: int, cidrs: Iterable[Network]) -> KnownNetworks:
    rows = await db.fetch(_INTERFACES, host_id)
    interfaces = [_interface(row) for row in rows]
    wanted = sorted(set(cidrs), key=cidr_order)
    subnets = await db.fetch(_SUBNETS, wanted) if wanted else []
    return KnownNetworks(
        interfaces={one.interface.key: one for one in interfaces},
        subnets={
            ip_network(row["cidr"]): KnownSubnet(
                vlan=VlanKey(fabric=row["fabric_id"], vid=row["vid"]),
                gateway=None if row["gateway"] is None else ip_address(row["gateway"]),
                gateway_set_by_user=row["gateway_set_by_user"],
            )
            for row in subnets
        },
    )


def _interface(row: asyncpg.Record) -> KnownInterface:
    links = sorted_links(
        (ip_network(cidr), None if address is None else ip_address(address)) for cidr, address in row["links"] or ()
    )
    has_vlan = row["fabric_id"] is not None
    return KnownInterface(
        interface=of_row(InterfaceRecord, row, dhcp_ranges=tuple(row["dhcp_ranges"]), links=links),
        vlan=VlanKey(fabric=row["fabric_id"], vid=row["vlan_vid"]) if has_vlan else None,
        vlan_set_by_user=row["vlan_set_by_user"],
        missing=row["missing"],
    )


async def host_name(db: Db, host_id: int) -> str:
    found: str = await db.fetchval(_HOST_NAME, host_id)
    return found


async def write(db: Db, host_id: int, changes: NetworkChanges) -> None:
    """Writes fabrics and VLANs, subnets, interfaces with their links, gateways and ranges, in this order."""
    vlan_ids = await _vlan_ids(db, changes)
    for was, now in changes.changed_kinds:
        await db.execute(_CHANGE_KIND, host_id, *was, now[0])
    for new in changes.subnets:
        await change_store.insert_subnet(db, new.cidr, str(new.cidr), vlan_ids[new.vlan])
    for interface, vlan in changes.interfaces:
        await _write_interface(db, host_id, interface, None if vlan is None else vlan_ids[vlan])
    await _set_missing(db, host_id, changes.missing)
    for cidr, gateway in changes.gateways:
        await db.execute(_SET_GATEWAY, cidr, gateway)
    if changes.range_subnets:
        await db.execute(_WRITE_RANGES, list(changes.range_subnets))


async def _vlan_ids(db: Db, changes: NetworkChanges) -> dict[VlanKey, int]:
    """Creates missing VLANs and fabrics, each fabric with an untagged VLAN."""
    vlans = {vlan for _, vlan in changes.interfaces if vlan is not None}
    vlans |= {new.vlan for new in changes.subnets}
    fabric_ids: dict[int, int] = {}
    found: dict[VlanKey, int] = {}
    for vlan in sorted(vlans, key=lambda vlan: (-vlan.fabric, vlan.vid)):
        fabric_id = fabric_ids.get(vlan.fabric, vlan.fabric)
        if fabric_id < 0:
            fabric_id = fabric_ids[vlan.fabric] = await change_store.insert_fabric(db, None, None, "")
            await change_store.insert_vlan(db, fabric_id, 0)
        vlan_id: int | None = await db.fetchval(_VLAN_ID, fabric_id, vlan.vid)
        found[vlan] = vlan_id if vlan_id is not None else await change_store.insert_vlan(db, fabric_id, vlan.vid)
    return found


async def _write_interface(db: Db, host_id: int, found: InterfaceRecord, vlan_id: int | None) -> None:
    interface_id: int = await db.fetchval(
        _WRITE_INTERFACE, host_id, found.name, found.kind, found.type, found.mac_address, found.parent, found.vid,
        found.attachable, found.active, found.dhcp, found.link_speed_mbps, found.virtual_functions,
        list(found.dhcp_ranges), vlan_id,
    )  # fmt: skip
    cidrs = [cidr for cidr, _ in found.links]
    await db.execute(_DROP_LINKS, interface_id, cidrs)
    if cidrs:
        await db.execute(_WRITE_LINKS, interface_id, cidrs, [address for _, address in found.links])


async def _set_missing(db: Db, host_id: int, missing: Sequence[InterfaceKey]) -> None:
    if missing:
        await db.execute(_SET_MISSING, host_id, [key[0] for key in missing], [key[1] for key in missing])
