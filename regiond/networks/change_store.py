"""Writes fabrics, VLANs, subnets and spaces. Callers hold the lock of `base_service.py`.

Duplicates raise asyncpg's UniqueViolationError.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from regiond.db.pool import Db
from regiond.networks.model import Address, Network

# The default name is `fabric-` with the id, or with the next free number.
_INSERT_FABRIC = """
    with created as (select nextval(pg_get_serial_sequence('fabric', 'id'))::integer as id)
    insert into fabric (id, name, class_type, description)
    select id,
           coalesce($1, (select 'fabric-' || number
                           from generate_series(id, id + (select count(*) from fabric)::integer) number
                          where not exists (select from fabric where name = 'fabric-' || number)
                          order by number limit 1)),
           $2, $3
      from created
    returning id
"""
_UPDATE_FABRIC = """
    update fabric set name = coalesce($2, name), class_type = nullif(coalesce($3, class_type), ''),
                      description = coalesce($4, description)
     where id = $1
"""
# A user's choice of a VLAN ends with the VLAN.
_CLEAR_CHOSEN_VLANS = """
    update host_interface set vlan_set_by_user = false
     where vlan_id in (select id from vlan where fabric_id = $1 or id = $2)
"""
_DELETE_FABRIC = "delete from fabric where id = $1"
_INSERT_VLAN = """
    insert into vlan (fabric_id, vid, name)
    values ($1, $2::integer, case $2::integer when 0 then 'untagged' else $2::integer::text end)
    returning id
"""
_UPDATE_VLAN = """
    update vlan set fabric_id = $2, vid = $3, name = coalesce($4, name), mtu = coalesce($5, mtu), space_id = $6,
                    description = coalesce($7, description)
     where id = $1
"""
_SET_SPACE = "update vlan set space_id = $2 where id = $1"
_DELETE_VLAN = "delete from vlan where id = $1"
_INSERT_SPACE = """
    with created as (select nextval(pg_get_serial_sequence('space', 'id'))::integer as id)
    insert into space (id, name, description)
    select id,
           coalesce($1, (select 'space-' || number
                           from generate_series(id, id + (select count(*) from space)::integer) number
                          where not exists (select from space where name = 'space-' || number)
                          order by number limit 1)),
           $2
      from created
    returning id
"""
_UPDATE_SPACE = """
    update space set name = coalesce($2, name), description = coalesce($3, description) where id = $1
"""
_DELETE_SPACE = "delete from space where id = $1"
_INSERT_SUBNET = "insert into subnet (cidr, name, vlan_id) values ($1, $2, $3) returning id"
_UPDATE_SUBNET = """
    update subnet
       set cidr = $2, name = $3, vlan_id = $4, gateway_ip = $5, dns_servers = $6,
           gateway_set_by_user = gateway_set_by_user or gateway_ip is distinct from $5,
           description = coalesce($7, description), managed = coalesce($8, managed),
           allow_dns = coalesce($9, allow_dns), allow_proxy = coalesce($10, allow_proxy),
           active_discovery = coalesce($11, active_discovery), rdns_mode = coalesce($12, rdns_mode)
     where id = $1
"""
# Interfaces follow a subnet to another VLAN, unless a user has set theirs.
_MOVE_INTERFACES = """
    update host_interface set vlan_id = $2
     where not vlan_set_by_user and vlan_id is distinct from $2
       and id in (select interface_id from host_interface_address where subnet_id = $1)
"""
_DROP_LINKS = "delete from host_interface_address where subnet_id = $1"
_DELETE_SUBNET = "delete from subnet where id = $1"


async def insert_fabric(db: Db, name: str | None, class_type: str | None, description: str) -> int:
    """The new id. The fabric has no VLAN yet. `name` None: the default name."""
    created: int = await db.fetchval(_INSERT_FABRIC, name, class_type, description)
    return created


async def update_fabric(
    db: Db, fabric_id: int, name: str | None, class_type: str | None, description: str | None
) -> None:
    await db.execute(_UPDATE_FABRIC, fabric_id, name, class_type, description)


async def delete_fabric(db: Db, fabric_id: int) -> None:
    await db.execute(_CLEAR_CHOSEN_VLANS, fabric_id, None)
    await db.execute(_DELETE_FABRIC, fabric_id)


async def insert_vlan(db: Db, fabric_id: int, vid: int) -> int:
    created: int = await db.fetchval(_INSERT_VLAN, fabric_id, vid)
    return created


async def update_vlan(
    db: Db,
    vlan_id: int,
    *,
    fabric_id: int,
    vid: int,
    name: str | None,
    mtu: int | None,
    space_id: int | None,
    description: str | None,
) -> None:
    """None leaves name, MTU and description unchanged, and removes the VLAN from its space."""
    await db.execute(_UPDATE_VLAN, vlan_id, fabric_id, vid, name, mtu, space_id, description)


async def set_space(db: Db, vlan_id: int, space_id: int | None) -> None:
    await db.execute(_SET_SPACE, vlan_id, space_id)


async def delete_vlan(db: Db, vlan_id: int) -> None:
    await db.execute(_CLEAR_CHOSEN_VLANS, None, vlan_id)
    await db.execute(_DELETE_VLAN, vlan_id)


async def insert_space(db: Db, name: str | None, description: str) -> int:
    created: int = await db.fetchval(_INSERT_SPACE, name, description)
    return created


async def update_space(db: Db, space_id: int, name: str | None, description: str | None) -> None:
    await db.execute(_UPDATE_SPACE, space_id, name, description)


async def delete_space(db: Db, space_id: int) -> None:
    await db.execute(_DELETE_SPACE, space_id)


async def insert_subnet(db: Db, cidr: Network, name: str, vlan_id: int) -> int:
    created: int = await db.fetchval(_INSERT_SUBNET, cidr, name, vlan_id)
    return created


async def update_subnet(
    db: Db,
    subnet_id: int,
    *,
    cidr: Network,
    name: str,
    vlan_id: int,
    gateway_ip: Address | None,
    dns_servers: Iterable[Address],
    settings: tuple[Any, ...],
) -> None:
    """`settings`: description, managed, allow_dns, allow_proxy, active_discovery, rdns_mode; None: unchanged."""
    await db.execute(_UPDATE_SUBNET, subnet_id, cidr, name, vlan_id, gateway_ip, list(dns_servers), *settings)


async def move_interfaces(db: Db, subnet_id: int, vlan_id: int) -> None:
    await db.execute(_MOVE_INTERFACES, subnet_id, vlan_id)


async def drop_links(db: Db, subnet_id: int) -> None:
    """No host is in the subnet until a discovery run finds it there."""
    await db.execute(_DROP_LINKS, subnet_id)


async def delete_subnet(db: Db, subnet_id: int) -> None:
    await db.execute(_DELETE_SUBNET, subnet_id)
