"""SQL of devices and their NICs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address

import asyncpg
from attrs import frozen

from common.errors import InvalidRequest, WrongState
from regiond.db.pool import Db, Row, of_row
from regiond.groups.model import ResourcePool, Zone
from regiond.machines.values.devices import DeviceFilter, DeviceNicView, DeviceView
from regiond.networks import store as network_store
from regiond.networks.model import Subnet
from regiond.requests.caller import Caller, seen_by, visible_pool_ids
from regiond.requests.validation_messages import no_object

_FIELDS = """
    select d.id, d.system_id, d.hostname, d.description, d.created_at, m.system_id as parent, m.id as parent_id,
           d.owner_data, a.username as owner, z.id as zone_id, z.name as zone_name, z.description as zone_description,
           p.id as pool_id, p.name as pool_name, p.description as pool_description
"""
_MATCHING = """
      from device d
      left join machine m on m.id = d.parent_id
      join zone z on z.id = coalesce(m.zone_id, d.zone_id)
      left join resource_pool p on p.id = m.pool_id
      left join account a on a.id = coalesce(m.owner_id, d.owner_id)
     where ($1::text[] = '{}' or d.system_id = any($1))
       and ($2::text[] = '{}' or d.hostname = any($2))
       and ($3::text[] = '{}' or exists (select from device_nic n where n.device_id = d.id and n.mac_address = any($3)))
       and ($4::text[] = '{}' or m.system_id = any($4))
       and ($5::text[] = '{}' or z.name = any($5))
       and ($6::text[] = '{}' or p.name = any($6))
       and ($7::text[] = '{}' or a.username = any($7))
       and ($8::integer[] is null or m.pool_id = any($8) or m.owner_id = $9 or d.owner_id = $9)
     order by d.id
"""
_DEVICES = _FIELDS + _MATCHING
_SYSTEM_IDS = "select d.system_id" + _MATCHING
_NICS = """
    select n.id, coalesce(n.link_id, n.id) as link_id, n.device_id, n.name, n.mac_address, n.mode, n.mtu, n.tags,
           n.vlan_id, n.subnet_id, host(a.address) as address
      from device_nic n left join ip_address a on a.device_nic_id = n.id
     where n.device_id = any($1::integer[])
     order by n.device_id, n.id
"""
_INSERT = """
    insert into device (system_id, hostname, parent_id, owner_id, zone_id, description)
    select $1, $2, $3, $4, $5, $6 where not exists (select from machine where system_id = $1)
    returning id
"""
_INSERT_NIC = """
    insert into device_nic (device_id, name, mac_address, vlan_id, mtu, tags) values ($1, $2, $3, $4, $5, $6)
    returning id
"""
_UPDATE = """
    update device set hostname = $2, description = $3,
           zone_id = case when owner_id is null then null else $4::integer end
     where id = $1
"""
_LOCK = "select from device where id = any($1::integer[]) order by id for update"
_LOCK_OWNER = "select from account where id = $1 for no key update"
_UPDATE_NIC = "update device_nic set name = $2, mac_address = $3, vlan_id = $4, mtu = $5, tags = $6 where id = $1"
_SET_LINK = """
    update device_nic
       set mode = $2, subnet_id = $3, vlan_id = coalesce($4, vlan_id), link_id = nextval('nic_link_id_seq')::integer
     where id = $1
"""
_HOLDER_OF_MAC = """
    select case when $3::integer[] is null or m.pool_id = any($3) or m.owner_id = $4 or found.owner_id = $4
                then found.kind || ' ' || found.hostname else 'another ' || found.kind end
      from (select 'machine' as kind, m.hostname, m.id as machine_id, null as owner_id
              from machine_nic n join machine m on m.id = n.machine_id
             where n.mac_address = $1
             union all
            select 'device', d.hostname, d.parent_id, d.owner_id
              from device_nic n join device d on d.id = n.device_id
             where n.mac_address = $1 and n.id is distinct from $2) found
      left join machine m on m.id = found.machine_id
"""
_SET_OWNER_DATA = "update device set owner_data = (owner_data - $2::text[]) || $3::jsonb where id = $1"
_HAS_MAC = """
    select exists (select from machine_nic n join machine m on m.id = n.machine_id
                    where n.mac_address = $1
                      and ($2::integer[] is null or m.pool_id = any($2) or m.owner_id = $3
                           or (m.owner_id is null and m.composed_by_id = $3)))
        or exists (select from device_nic n join device d on d.id = n.device_id
                     left join machine m on m.id = d.parent_id
                    where n.mac_address = $1
                      and ($2 is null or m.pool_id = any($2) or m.owner_id = $3 or d.owner_id = $3))
"""
_COUNT_OF = "select count(*) from device where parent_id = $1"
_COUNT_OF_OWNER = "select count(*) from device where owner_id = $1"
_HOSTNAMES_OF = "select parent_id, hostname from device where parent_id = any($1::integer[]) order by parent_id, id"
_DELETE = "delete from device where id = $1"
_DELETE_NIC = "delete from device_nic where id = $1"
_WITH_MACS = """
    select distinct d.id, m.system_id as parent
      from device_nic n join device d on d.id = n.device_id left join machine m on m.id = d.parent_id
     where n.mac_address = any($1::text[])
"""
_DELETE_NICS_WITH_MACS = """
    delete from device_nic n using device d left join machine m on m.id = d.parent_id
     where d.id = n.device_id and n.mac_address = any($1::text[])
    returning n.name, n.mac_address, d.hostname as device, coalesce(m.system_id, d.system_id) as system_id, m.host_id,
              (select host(a.address) from ip_address a where a.device_nic_id = n.id) as address
"""
_DELETE_OF = "delete from device where parent_id = $1 returning hostname"


@frozen(kw_only=True)
class DeletedNic:
    """A NIC of `device`. `system_id` and `host_id` are its machine's; without a machine, the device's id and None."""

    name: str
    mac_address: str
    device: str
    system_id: str
    host_id: int | None
    address: str | None


async def system_ids(db: Db, wanted: DeviceFilter, *, caller: Caller | None = None) -> list[str]:
    """Returns the system ids of the devices that the caller may see (no caller: all), in the order of the row ids."""
    return [row["system_id"] for row in await db.fetch(_SYSTEM_IDS, *_arguments(wanted, caller))]


def _arguments(wanted: DeviceFilter, caller: Caller | None) -> tuple[object, ...]:
    return (
        list(wanted.system_ids),
        [one.lower() for one in wanted.hostnames],
        [one.lower() for one in wanted.mac_addresses],
        list(wanted.parents),
        list(wanted.zones),
        list(wanted.pools),
        list(wanted.owners),
        *seen_by(caller),
    )


async def devices(db: Db, wanted: DeviceFilter, *, caller: Caller | None = None) -> tuple[DeviceView, ...]:
    """Returns the devices that the caller may see (no caller: all), by id."""
    rows = await db.fetch(_DEVICES, *_arguments(wanted, caller))
    nics = await _nics(db, [row["id"] for row in rows])
    return tuple(
        of_row(
            DeviceView,
            row,
            zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
            pool=_pool(row),
            nics=tuple(nics[row["id"]]),
        )
        for row in rows
    )


def _pool(row: Row) -> ResourcePool | None:
    if row["pool_id"] is None:
        return None
    return ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"])


async def _nics(db: Db, device_ids: Sequence[int]) -> defaultdict[int, list[DeviceNicView]]:
    rows = await db.fetch(_NICS, device_ids) if device_ids else []
    vlan_ids = {row["vlan_id"] for row in rows} - {None}
    subnet_ids = {row["subnet_id"] for row in rows} - {None}
    vlans = {one.id: one for one in await network_store.vlans(db, ids=vlan_ids)} if vlan_ids else {}
    subnets = {one.id: one for one in await network_store.subnets(db, ids=subnet_ids)} if subnet_ids else {}
    found: defaultdict[int, list[DeviceNicView]] = defaultdict(list)
    for row in rows:
        subnet = subnets.get(row["subnet_id"])
        nic = of_row(
            DeviceNicView,
            row,
            tags=tuple(row["tags"]),
            vlan=vlans.get(row["vlan_id"]) if subnet is None else subnet.vlan,
            subnet=subnet,
            ip_address=None if row["address"] is None else ip_address(row["address"]),
        )
        found[row["device_id"]].append(nic)
    return found


async def insert(
    db: Db,
    *,
    system_id: str,
    hostname: str,
    parent_id: int | None,
    owner_id: int | None,
    zone_id: int | None,
    description: str,
) -> int | None:
    """Inserts a device, which is on a machine or has an owner and a zone, and returns its row id.

    None if a machine or device has the hostname or the system id; the caller's transaction remains usable.
    """
    try:
        async with db.transaction():
            found: int | None = await db.fetchval(
                _INSERT, system_id, hostname, parent_id, owner_id, zone_id, description
            )
    except asyncpg.UniqueViolationError:
        return None
    return found


async def insert_nic(
    db: Db,
    device_id: int,
    *,
    name: str,
    mac_address: str,
    vlan_id: int | None = None,
    mtu: int | None = None,
    tags: Sequence[str] = (),
    field: str = "mac_address",
) -> int:
    """Inserts a NIC and returns its row id.

    Raises InvalidRequest if another transaction just took the MAC address (`field`) or deleted the VLAN. The caller
    must then roll back.
    """
    with _just_changed(mac_address, vlan_id, field=field):
        created: int = await db.fetchval(_INSERT_NIC, device_id, name, mac_address, vlan_id, mtu, list(tags))
    return created


async def update(db: Db, device_id: int, *, hostname: str, description: str, zone_id: int) -> bool:
    """Changes the device. A device on a machine keeps the zone of the machine, whatever `zone_id` is.

    Returns False if another device or a machine has the hostname; the caller must then roll back.
    """
    try:
        await db.execute(_UPDATE, device_id, hostname, description, zone_id)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def set_owner_data(db: Db, device_id: int, *, values: Mapping[str, str], removed: Iterable[str]) -> None:
    """Sets `values` and removes the keys in `removed`; other keys are unchanged."""
    await db.execute(_SET_OWNER_DATA, device_id, list(removed), dict(values))


async def has_mac(db: Db, mac_address: str, *, caller: Caller) -> bool:
    """Returns whether a machine or device that the caller may see has the MAC address."""
    return bool(await db.fetchval(_HAS_MAC, mac_address, *seen_by(caller)))


async def update_nic(
    db: Db, nic_id: int, *, name: str, mac_address: str, vlan_id: int | None, mtu: int | None, tags: Sequence[str]
) -> None:
    """Changes the NIC. Raises InvalidRequest, as `insert_nic` does."""
    with _just_changed(mac_address, vlan_id, field="mac_address"):
        await db.execute(_UPDATE_NIC, nic_id, name, mac_address, vlan_id, mtu, list(tags))


async def set_link(db: Db, nic_id: int, *, mode: str, subnet: Subnet | None) -> None:
    """Links the NIC, which is then on the VLAN of the subnet. Raises WrongState if the subnet was just deleted."""
    subnet_id, vlan_id = (None, None) if subnet is None else (subnet.id, subnet.vlan.id)
    try:
        await db.execute(_SET_LINK, nic_id, mode, subnet_id, vlan_id)
    except asyncpg.ForeignKeyViolationError as error:
        cidr = None if subnet is None else subnet.cidr
        raise WrongState(f"The subnet {cidr} was just deleted.") from error


async def holder_of_mac(db: Db, mac_address: str, *, caller: Caller, except_nic_id: int | None = None) -> str | None:
    """Returns the holder of this MAC address, such as `machine web-1`; `another machine` if the caller may not see it.

    None if no other NIC has it.
    """
    found: str | None = await db.fetchval(
        _HOLDER_OF_MAC, mac_address, except_nic_id, visible_pool_ids(caller), caller.account_id
    )
    return found


async def count_of(db: Db, machine_id: int) -> int:
    """Returns the number of devices on the machine."""
    found: int = await db.fetchval(_COUNT_OF, machine_id)
    return found


async def lock(db: Db, device_ids: Iterable[int]) -> None:
    """Locks devices that are on no machine until the transaction ends. The lock of a machine covers its devices."""
    await db.execute(_LOCK, list(device_ids))


async def count_of_owner(db: Db, account_id: int) -> int:
    """Returns the number of the account's devices on no machine; no other transaction adds one until this one ends."""
    await db.execute(_LOCK_OWNER, account_id)
    found: int = await db.fetchval(_COUNT_OF_OWNER, account_id)
    return found


async def hostnames_of(db: Db, machine_ids: Sequence[int]) -> Mapping[int, Sequence[str]]:
    """Returns the hostnames of the devices on each machine; omits machines without devices."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for row in await db.fetch(_HOSTNAMES_OF, machine_ids):
        found[row["parent_id"]].append(row["hostname"])
    return found


async def delete(db: Db, device_id: int) -> None:
    """Deletes the device with its NICs and the claims of their addresses."""
    await db.execute(_DELETE, device_id)


async def delete_nic(db: Db, nic_id: int) -> None:
    await db.execute(_DELETE_NIC, nic_id)


async def with_macs(db: Db, mac_addresses: Sequence[str]) -> Mapping[int, str | None]:
    """Returns the devices that have one of these MAC addresses, each with the system id of its machine, if any."""
    return {row["id"]: row["parent"] for row in await db.fetch(_WITH_MACS, mac_addresses)}


async def delete_nics_with_macs(db: Db, mac_addresses: Sequence[str]) -> tuple[DeletedNic, ...]:
    """Deletes the NICs of devices with these MAC addresses, and the claims of their addresses. Idempotent."""
    return tuple(DeletedNic(**row) for row in await db.fetch(_DELETE_NICS_WITH_MACS, mac_addresses))


async def delete_of(db: Db, machine_id: int) -> tuple[str, ...]:
    """Deletes the devices of the machine; returns their hostnames. Idempotent."""
    return tuple(row["hostname"] for row in await db.fetch(_DELETE_OF, machine_id))


@contextmanager
def _just_changed(mac_address: str, vlan_id: int | None, *, field: str) -> Iterator[None]:
    """Raises the error for a conflict with a change that another transaction committed after the checks."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise InvalidRequest.of({field: [f"{mac_address} is that of another machine or device."]}) from error
    except asyncpg.ForeignKeyViolationError as error:
        raise InvalidRequest.of({"vlan": [no_object("VLAN", str(vlan_id))]}) from error
