"""SQL of devices and their NICs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from regiond.caller import Caller, visible_pool_ids
from regiond.groups.model import ResourcePool, Zone
from regiond.machines.device_model import DeviceFilter, DeviceNicView, DeviceView
from regiond.networks import service as network_service

if TYPE_CHECKING:
    from regiond.db.pool import Db

_DEVICES = """
    select d.id, d.system_id, d.hostname, d.description, d.created_at, m.system_id as parent, m.id as parent_id,
           a.username as owner, z.id as zone_id, z.name as zone_name, z.description as zone_description,
           p.id as pool_id, p.name as pool_name, p.description as pool_description
      from device d
      join machine m on m.id = d.parent_id
      join zone z on z.id = m.zone_id
      join resource_pool p on p.id = m.pool_id
      left join account a on a.id = m.owner_id
     where ($1::text[] = '{}' or d.system_id = any($1))
       and ($2::text[] = '{}' or d.hostname = any($2))
       and ($3::text[] = '{}' or exists (select from device_nic n where n.device_id = d.id and n.mac_address = any($3)))
       and ($4::text[] = '{}' or m.system_id = any($4))
       and ($5::integer[] is null or m.pool_id = any($5) or m.owner_id = $6)
     order by d.id
"""
_NICS = """
    select n.id, n.device_id, n.name, n.mac_address, n.mode, n.mtu, n.tags, n.vlan_id, n.subnet_id,
           host(a.address) as address
      from device_nic n left join ip_address a on a.device_nic_id = n.id
     where n.device_id = any($1::integer[])
     order by n.device_id, n.id
"""
_INSERT = """
    insert into device (system_id, hostname, parent_id, description)
    select $1, $2, $3, $4
     where not exists (select from machine where system_id = $1 or hostname = $2)
    on conflict do nothing
    returning id
"""
_INSERT_NIC = """
    insert into device_nic (device_id, name, mac_address, vlan_id, mtu, tags) values ($1, $2, $3, $4, $5, $6)
    returning id
"""
_UPDATE = """
    update device set hostname = $2, description = $3
     where id = $1 and not exists (select from machine where hostname = $2)
       and not exists (select from device other where other.hostname = $2 and other.id <> $1)
    returning id
"""
_UPDATE_NIC = "update device_nic set name = $2, mac_address = $3, vlan_id = $4, mtu = $5, tags = $6 where id = $1"
_SET_LINK = "update device_nic set mode = $2, subnet_id = $3, vlan_id = coalesce($4, vlan_id) where id = $1"
_HOLDER_OF_MAC = """
    select 'machine ' || m.hostname from machine_nic n join machine m on m.id = n.machine_id where n.mac_address = $1
    union all
    select 'device ' || d.hostname from device_nic n join device d on d.id = n.device_id
     where n.mac_address = $1 and n.id is distinct from $2
"""
_DELETE = "delete from device where id = $1"
_DELETE_NIC = "delete from device_nic where id = $1"
_DELETE_OF = "delete from device where parent_id = $1 returning hostname"


async def devices(db: Db, wanted: DeviceFilter, *, caller: Caller | None = None) -> tuple[DeviceView, ...]:
    """Those that the caller may see (no caller: all), by id."""
    rows = await db.fetch(
        _DEVICES, list(wanted.system_ids), [one.lower() for one in wanted.hostnames],
        [one.lower() for one in wanted.mac_addresses], list(wanted.parents), visible_pool_ids(caller),
        None if caller is None else caller.account_id,
    )  # fmt: skip
    nics = await _nics(db, [row["id"] for row in rows])
    return tuple(
        DeviceView(
            id=row["id"],
            system_id=row["system_id"],
            hostname=row["hostname"],
            description=row["description"],
            parent=row["parent"],
            parent_id=row["parent_id"],
            owner=row["owner"],
            zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
            pool=ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"]),
            created_at=row["created_at"],
            nics=tuple(nics[row["id"]]),
        )
        for row in rows
    )


async def _nics(db: Db, device_ids: Sequence[int]) -> defaultdict[int, list[DeviceNicView]]:
    rows = await db.fetch(_NICS, device_ids) if device_ids else []
    vlan_ids = {row["vlan_id"] for row in rows} - {None}
    subnet_ids = {row["subnet_id"] for row in rows} - {None}
    vlans = {one.id: one for one in await network_service.vlans(db, ids=vlan_ids)} if vlan_ids else {}
    subnets = {one.id: one for one in await network_service.subnets(db, ids=subnet_ids)} if subnet_ids else {}
    found: defaultdict[int, list[DeviceNicView]] = defaultdict(list)
    for row in rows:
        subnet = subnets.get(row["subnet_id"])
        nic = DeviceNicView(
            id=row["id"],
            name=row["name"],
            mac_address=row["mac_address"],
            mode=row["mode"],
            mtu=row["mtu"],
            tags=tuple(row["tags"]),
            vlan=vlans.get(row["vlan_id"]) if subnet is None else subnet.vlan,
            subnet=subnet,
            ip_address=None if row["address"] is None else ip_address(row["address"]),
        )
        found[row["device_id"]].append(nic)
    return found


async def insert(db: Db, *, system_id: str, hostname: str, parent_id: int, description: str) -> int | None:
    """None if a machine or device has the hostname or the system id."""
    found: int | None = await db.fetchval(_INSERT, system_id, hostname, parent_id, description)
    return found


async def insert_nic(
    db: Db, device_id: int, *, name: str, mac_address: str, vlan_id: int | None, mtu: int | None, tags: Sequence[str]
) -> int:
    created: int = await db.fetchval(_INSERT_NIC, device_id, name, mac_address, vlan_id, mtu, list(tags))
    return created


async def update(db: Db, device_id: int, *, hostname: str, description: str) -> bool:
    """False if another device or a machine has the hostname."""
    return await db.fetchval(_UPDATE, device_id, hostname, description) is not None


async def update_nic(
    db: Db, nic_id: int, *, name: str, mac_address: str, vlan_id: int | None, mtu: int | None, tags: Sequence[str]
) -> None:
    await db.execute(_UPDATE_NIC, nic_id, name, mac_address, vlan_id, mtu, list(tags))


async def set_link(db: Db, nic_id: int, *, mode: str, subnet_id: int | None, vlan_id: int | None) -> None:
    """`vlan_id` None: unchanged."""
    await db.execute(_SET_LINK, nic_id, mode, subnet_id, vlan_id)


async def holder_of_mac(db: Db, mac_address: str, *, except_nic_id: int | None = None) -> str | None:
    """The machine or device with a NIC of this MAC address, such as `machine web-1`."""
    found: str | None = await db.fetchval(_HOLDER_OF_MAC, mac_address, except_nic_id)
    return found


async def delete(db: Db, device_id: int) -> None:
    """With its NICs and the claims of their addresses."""
    await db.execute(_DELETE, device_id)


async def delete_nic(db: Db, nic_id: int) -> None:
    await db.execute(_DELETE_NIC, nic_id)


async def delete_of(db: Db, machine_id: int) -> tuple[str, ...]:
    """Deletes the devices of the machine; returns their hostnames. Idempotent."""
    return tuple(row["hostname"] for row in await db.fetch(_DELETE_OF, machine_id))
