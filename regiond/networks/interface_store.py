"""Rows of the interfaces of hosts, the NICs of machines on them, and the used addresses of a subnet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from ipaddress import ip_address

from regiond.db.pool import Db, of_row
from regiond.networks import store
from regiond.networks.model import HostInterface, InterfaceLink, UsedAddress
from regiond.requests.caller import Caller, seen_by, visible_pool_ids

_HOST_ID = "select id from vm_host where system_id = $1 and ($2::integer[] is null or pool_id = any($2))"
_INTERFACES = """
    select i.id, i.host_id, h.system_id as host_system_id, i.name, i.kind, i.type, i.mac_address, i.parent, i.vid,
           i.attachable, i.active, i.dhcp, i.link_speed_mbps, i.virtual_functions, i.tags, i.vlan_id,
           i.vlan_set_by_user, i.missing_since
      from host_interface i join vm_host h on h.id = i.host_id
     where ($1::integer is null or i.host_id = $1) and ($2::integer is null or i.id = $2)
     order by i.id
"""
_LINKS = """
    select interface_id, subnet_id, host(address) as address
      from host_interface_address where interface_id = any($1::integer[]) order by interface_id, subnet_id
"""
_NAMES_ON_VLANS = """
    select h.name || '/' || i.name
      from host_interface i join vm_host h on h.id = i.host_id
     where i.vlan_id = any($1::integer[]) and i.missing_since is null
     order by h.name, i.name
"""
_SET_TAGS = "update host_interface set tags = $2 where id = $1"
_CHOOSE_VLAN = "update host_interface set vlan_id = $2, vlan_set_by_user = true where id = $1"
# The next discovery run of the host may derive another VLAN.
_CLEAR_CHOSEN_VLAN = """
    update host_interface i
       set vlan_set_by_user = false,
           vlan_id = (select s.vlan_id from host_interface_address a join subnet s on s.id = a.subnet_id
                       where a.interface_id = i.id order by s.id limit 1)
     where id = $1
"""
_CLAIMED = """
    select a.subnet_id, host(a.address) as address, case when visible then m.system_id end as machine,
           case when visible then coalesce(m.hostname, d.hostname) end as hostname,
           case when visible and m.id is null then d.system_id end as device
      from ip_address a
      left join machine m on m.id = a.machine_id
      left join device_nic n on n.id = a.device_nic_id
      left join device d on d.id = n.device_id,
           lateral (select $2::integer[] is null or m.pool_id = any($2) or coalesce(m.owner_id, d.owner_id) = $3
                           as visible) seen
     where a.subnet_id = any($1::integer[])
"""
_SEEN = """
    select sub.id as subnet_id, host(s.address) as address, case when visible then m.system_id end as machine,
           case when visible then m.hostname end as hostname, true as seen
      from subnet sub
      join seen_address s on s.address <<= sub.cidr
      join machine_nic n on n.id = s.nic_id
      join machine m on m.id = n.machine_id and m.power_state in ('on', 'paused'),
           lateral (select $2::integer[] is null or m.pool_id = any($2) or m.owner_id = $3 as visible) may
     where sub.id = any($1::integer[])
       and not exists (select from ip_address a where a.address = s.address and a.machine_id = m.id)
"""
_OF_HOSTS = """
    select a.subnet_id, host(a.address) as address, case when visible then h.system_id end as host,
           case when visible then h.name end as host_name
      from host_interface_address a
      join host_interface i on i.id = a.interface_id and i.missing_since is null
      join vm_host h on h.id = i.host_id,
           lateral (select $2::integer[] is null or h.pool_id = any($2) as visible) seen
     where a.subnet_id = any($1::integer[]) and a.address is not null
     order by h.id
"""

# Whether the host puts the NIC `n` of a machine into another VLAN than its network's: that of its row, or none.
HAS_OWN_VLAN = """exists (
           select from guest g, jsonb_to_recordset(g.nics) f (mac_address text, own_vlan boolean)
            where g.machine_id = n.machine_id and f.own_vlan and lower(f.mac_address) = lower(n.mac_address))"""
# By name, and by kind if several interfaces have the name. A network of the hypervisor is not an interface of the
# server, while a NIC on a bridge may be on a bridge that the hypervisor manages. A NIC with a VLAN of its own is in
# that VLAN of the same fabric, or in none.
_BIND = """
    update machine_nic n
       set interface_id = match.id, vlan_id = match.vlan_id
      from (select k.id as nic_id, i.id,
                   case when own.vid is null then coalesce(i.vlan_id, k.vlan_id)
                        else (select v.id from vlan v join vlan base on base.fabric_id = v.fabric_id
                               where base.id = i.vlan_id and v.vid = own.vid) end as vlan_id,
                   row_number() over (partition by k.id order by i.kind <> k.kind, i.kind = 'network', i.id) as rank
              from machine m
              join machine_nic k on k.machine_id = m.id
              join host_interface i on i.host_id = m.host_id and i.missing_since is null and i.name = k.source
                   and (i.kind = k.kind or (k.kind <> 'network' and k.source <> ''))
              left join lateral (
                   select coalesce(f.vid, -1) as vid
                     from guest g, jsonb_to_recordset(g.nics) f (mac_address text, own_vlan boolean, vid integer)
                    where g.machine_id = m.id and f.own_vlan and lower(f.mac_address) = lower(k.mac_address)
                    limit 1) own on true
             where m.id = any($1::integer[])) match
     where n.id = match.nic_id and match.rank = 1
       and (n.interface_id, n.vlan_id) is distinct from (match.id, match.vlan_id)
"""


async def host_id(db: Db, system_id: str, *, caller: Caller | None = None) -> int | None:
    """Returns None also for a host that the caller may not see."""
    found: int | None = await db.fetchval(_HOST_ID, system_id, visible_pool_ids(caller))
    return found


async def interfaces(
    db: Db, *, host_id: int | None = None, interface_id: int | None = None
) -> tuple[HostInterface, ...]:
    """By id, with missing ones."""
    rows = await db.fetch(_INTERFACES, host_id, interface_id)
    links = await db.fetch(_LINKS, [row["id"] for row in rows])
    subnets = {subnet.id: subnet for subnet in await store.subnets(db, ids={link["subnet_id"] for link in links})}
    vlans = {vlan.id: vlan for vlan in await store.vlans(db, ids={row["vlan_id"] for row in rows if row["vlan_id"]})}
    of_interface: defaultdict[int, list[InterfaceLink]] = defaultdict(list)
    for link in links:
        address = None if link["address"] is None else ip_address(link["address"])
        of_interface[link["interface_id"]].append(InterfaceLink(subnet=subnets[link["subnet_id"]], address=address))
    found = []
    for row in rows:
        vlan = vlans.get(row["vlan_id"]) if row["vlan_id"] else None
        linked = tuple(of_interface[row["id"]])
        found.append(of_row(HostInterface, row, tags=tuple(row["tags"]), vlan=vlan, links=linked))
    return tuple(found)


async def set_tags(db: Db, interface_id: int, tags: tuple[str, ...]) -> None:
    await db.execute(_SET_TAGS, interface_id, list(tags))


async def choose_vlan(db: Db, interface_id: int, vlan_id: int | None) -> None:
    """Sets the VLAN that a user chose; None lets discovery decide again."""
    if vlan_id is None:
        await db.execute(_CLEAR_CHOSEN_VLAN, interface_id)
    else:
        await db.execute(_CHOOSE_VLAN, interface_id, vlan_id)


async def used_addresses(
    db: Db, subnet_ids: Sequence[int], *, caller: Caller | None = None
) -> dict[int, tuple[UsedAddress, ...]]:
    """Returns the addresses that machines claim or hosts have, by subnet, each by address.

    One that several hosts have (such as that of a libvirt network) is listed for each. The address of a machine or
    host that the caller may not see has neither.
    """
    visible, account_id = seen_by(caller)
    claimed = await db.fetch(_CLAIMED, subnet_ids, visible, account_id)
    found: dict[int, list[UsedAddress]] = {subnet_id: [] for subnet_id in subnet_ids}
    seen = await db.fetch(_SEEN, subnet_ids, visible, account_id)
    for row in [*claimed, *seen, *await db.fetch(_OF_HOSTS, subnet_ids, visible)]:
        fields = {name: value for name, value in row.items() if name != "subnet_id"}
        found[row["subnet_id"]].append(UsedAddress(**{**fields, "address": ip_address(row["address"])}))
    return {
        subnet_id: tuple(sorted(used, key=lambda one: (int(one.address), one.host or "", one.machine or "")))
        for subnet_id, used in found.items()
    }


async def names_on_vlans(db: Db, vlan_ids: Sequence[int]) -> tuple[str, ...]:
    """The interfaces on one of the VLANs, as `host/interface`."""
    return tuple(row[0] for row in await db.fetch(_NAMES_ON_VLANS, vlan_ids))


async def bind_nics(db: Db, machine_ids: list[int]) -> None:
    """Binds each NIC to the host interface that it is attached to, and to that interface's VLAN or its own. Idempotent.

    NICs on something that the host does not list are not changed.
    """
    if machine_ids:
        await db.execute(_BIND, machine_ids)
