"""SQL for detached machines: machines whose host was removed while their guests remained."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from attrs import frozen

from regiond.db.pool import Db, of_row
from regiond.machines.core.store import IdentifierTaken
from regiond.machines.detached import detached_device_store
from regiond.machines.values.adoption import DetachedMachine
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, seen_by

_DETACH = """
    insert into detached_machine (uuid, system_id, hostname, adopted, host_name, driver, address, project, pool_id,
                                   zone_id, owner_id, architecture, cores, memory_mib, tags, description, state,
                                   composed_by_allocate, agent_name, owner_data, workload_annotations,
                                   error_description, locked, affinity_groups, lost, disks, nics, kept_addresses,
                                   devices, as_found, imported, autostart, zone_chosen, composed_by_id, generation,
                                   unproven_since)
    select m.uuid, m.system_id, m.hostname, m.adopted, h.name, h.driver, h.address, h.project, m.pool_id, m.zone_id,
           m.owner_id, m.architecture, m.cores, m.memory_mib, m.tags, m.description, m.state,
           m.composed_by_allocate, m.agent_name, m.owner_data, m.workload_annotations, m.error_description, m.locked,
           coalesce((select jsonb_agg(to_jsonb(a) - 'machine_id') from affinity_membership a where a.machine_id = m.id),
                    '[]'), $2,
           coalesce((select jsonb_agg(jsonb_build_object(
                                'index', d.index, 'volume', d.volume, 'pool_key', p.pool_key, 'pool_name', p.name,
                                'size_bytes', d.size_bytes, 'serial', d.serial, 'tags', d.tags, 'label', d.label,
                                'boots', d.boots, 'root_volume', d.root_volume, 'origin', d.origin)
                                order by d.index)
                       from machine_disk d join storage_pool p on p.id = d.storage_pool_id
                      where d.machine_id = m.id), '[]'),
           coalesce((select jsonb_agg(jsonb_build_object(
                                'index', n.index, 'name', n.name, 'mac_address', n.mac_address, 'kind', n.kind,
                                'source', n.source, 'label', n.label, 'mode', n.mode, 'vid', n.vid,
                                'vlan_id', n.vlan_id, 'subnet_id', n.subnet_id, 'interface', i.name,
                                'tags', n.tags, 'gateway_versions', n.gateway_versions, 'link_before', n.link_before,
                                'ip', host(a.address), 'on_host', a.on_host) order by n.index)
                       from machine_nic n
                       left join host_interface i on i.id = n.interface_id
                       left join ip_address a on a.nic_id = n.id
                      where n.machine_id = m.id), '[]'),
           coalesce((select jsonb_agg(jsonb_build_object('subnet_id', a.subnet_id, 'address', host(a.address),
                                                         'on_host', a.on_host))
                       from ip_address a
                      where a.machine_id = m.id and num_nonnulls(a.nic_id, a.device_nic_id) = 0), '[]'),
           coalesce((select jsonb_agg(jsonb_build_object(
                                'system_id', d.system_id, 'hostname', d.hostname, 'description', d.description,
                                'created_at', d.created_at, 'owner_data', d.owner_data, 'nics',
                                coalesce((select jsonb_agg(jsonb_build_object(
                                                     'name', n.name, 'mac_address', n.mac_address, 'mode', n.mode,
                                                     'vlan_id', n.vlan_id, 'subnet_id', n.subnet_id, 'mtu', n.mtu,
                                                     'tags', n.tags, 'ip', host(a.address)) order by n.id)
                                            from device_nic n left join ip_address a on a.device_nic_id = n.id
                                           where n.device_id = d.id), '[]')) order by d.id)
                       from device d where d.parent_id = m.id), '[]'), m.as_found, m.imported,
           m.autostart, m.zone_chosen, m.composed_by_id, m.generation, m.unproven_since
      from machine m join vm_host h on h.id = m.host_id
     where m.host_id = $1
    on conflict (uuid) do nothing
"""
_LIST = """
    select f.*, a.username as owner, z.name as zone, p.name as pool
      from detached_machine f
      left join account a on a.id = f.owner_id
      left join zone z on z.id = f.zone_id
      left join resource_pool p on p.id = f.pool_id
     where $1::integer[] is null or f.pool_id = any($1) or f.owner_id = $2
     order by f.detached_at, f.system_id
"""
_NAMES = "select system_id, hostname from detached_machine where uuid = $1"
_DROP = "delete from detached_machine where uuid = $1"

# Only a host that was added after the removal restores machines, not one that already shared the server. Of two guests
# with the same marker, the one with the machine's hostname is restored.
_RETURNED = """
    select distinct on (f.uuid) f.uuid, f.hostname, f.state, f.owner_id is not null as owned, f.as_found,
           g.id as guest_id,
           array(select n.mac_address from jsonb_to_recordset(f.nics) n (mac_address text)) as mac_addresses
      from vm_host h
      join guest g on g.server_id = h.server_id and g.machine_id is null and g.cores > 0 and g.memory_mib > 0
           and (h.driver <> 'lxd' or g.project = h.project)
      join detached_machine f on f.detached_at < h.created_at and not f.lost
           and ((g.marker_installation = $2 and g.marker_machine = f.uuid)
                or (f.driver = 'virsh' and h.driver = 'virsh' and g.marker_machine is null
                    and g.guest_key = f.uuid::text
                    and (f.adopted
                         or coalesce((select d.origin = 'adopted'
                                        from jsonb_to_recordset(f.disks) d (index integer, origin text)
                                       order by d.index limit 1), true))))
     where h.id = $1
       and not exists (select 1 from tombstone t where t.machine_uuid = f.uuid)
     order by f.uuid, g.name <> f.hostname, g.id
"""
_RESTORE = """
    insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, power_state, architecture, cores,
                         memory_mib, tags, owner_id, description, adopted, composed_by_allocate, agent_name, owner_data,
                         workload_annotations, error_description, locked, as_found, imported, autostart,
                         zone_chosen, composed_by_id, generation, unproven_since)
    select f.uuid,
           case when exists (select 1 from machine m where m.system_id = f.system_id) then $4 else f.system_id end,
           case when exists (select from used_hostname u where u.hostname = f.hostname)
                then rtrim(left(f.hostname, 56), '-') || '-' || f.system_id else f.hostname end,
           h.id,
           coalesce((select id from resource_pool p where p.id = f.pool_id), h.pool_id),
           coalesce(z.id, h.zone_id),
           $5, g.power_state, f.architecture, g.cores, g.memory_mib, f.tags, f.owner_id, f.description, f.adopted,
           f.composed_by_allocate, f.agent_name, f.owner_data, f.workload_annotations, f.error_description, f.locked,
           f.as_found, f.imported, f.autostart, coalesce(z.id <> h.zone_id, false), f.composed_by_id, f.generation,
           f.unproven_since
      from detached_machine f join vm_host h on h.id = $2 join guest g on g.id = $3
      left join zone z on z.id = f.zone_id and f.zone_chosen
     where f.uuid = $1
    returning id, system_id, hostname
"""
_DISKS = """
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags, label, boots,
                              root_volume, origin)
    select $2, d.index, d.volume, p.id, d.size_bytes, d.serial, d.tags, coalesce(d.label, ''),
           coalesce(d.boots, false), d.root_volume, coalesce(d.origin, 'created')
      from detached_machine f,
           jsonb_to_recordset(f.disks) d (index integer, volume text, pool_key text, size_bytes bigint, serial text,
                                          tags text[], label text, boots boolean, root_volume text, origin text),
           vm_host h join storage_pool p on p.server_id = h.server_id
     where f.uuid = $1 and h.id = $3 and p.pool_key = d.pool_key
"""
# NICs are attached to the host's interface of the same name. VLANs and subnets may have been deleted in the meantime.
_NICS = """
    insert into machine_nic (machine_id, index, name, mac_address, kind, source, label, mode, vid, vlan_id, subnet_id,
                             tags, gateway_versions, link_before, interface_id)
    select $2, n.index, n.name, n.mac_address, n.kind, n.source, coalesce(n.label, ''), coalesce(n.mode, 'dhcp'), n.vid,
           (select id from vlan where id = n.vlan_id), (select id from subnet where id = n.subnet_id),
           coalesce(n.tags, '{}'), coalesce(n.gateway_versions, '{}'), nullif(n.link_before, 'null'),
           (select id from host_interface i where i.host_id = $3 and i.name = n.interface
             order by i.missing_since is not null, i.kind <> n.kind, i.id limit 1)
      from detached_machine f,
           jsonb_to_recordset(f.nics) n (index integer, name text, mac_address text, kind text, source text, label text,
                                         mode text, vid integer, vlan_id integer, subnet_id integer, interface text,
                                         tags text[], gateway_versions integer[], link_before jsonb)
     where f.uuid = $1
    on conflict (mac_address) do nothing
"""
# Skips addresses that were assigned to something else in the meantime.
_ADDRESSES = """
    insert into ip_address (subnet_id, address, machine_id, nic_id, on_host)
    select k.subnet_id, n.ip, $2, k.id, n.on_host
      from detached_machine f, jsonb_to_recordset(f.nics) n (index integer, ip inet, on_host boolean)
      join machine_nic k on k.machine_id = $2 and k.index = n.index and k.subnet_id is not null
     where f.uuid = $1 and n.ip is not null
    on conflict (address) do nothing
"""
_KEPT_ADDRESSES = """
    insert into ip_address (subnet_id, address, machine_id, on_host)
    select s.id, k.address, $2, k.on_host
      from detached_machine f,
           jsonb_to_recordset(f.kept_addresses) k (subnet_id integer, address inet, on_host boolean)
      join subnet s on s.id = k.subnet_id
     where f.uuid = $1
    on conflict (address) do nothing
"""
_LOST_ADDRESSES = """
    select host(former.address) as address
      from (select n.ip from detached_machine f, jsonb_to_recordset(f.nics) n (ip inet) where f.uuid = $1
             union
            select k.address from detached_machine f, jsonb_to_recordset(f.kept_addresses) k (address inet)
             where f.uuid = $1
             union
            select n.ip from detached_machine f, jsonb_to_recordset(f.devices) d (nics jsonb),
                   jsonb_to_recordset(d.nics) n (ip inet)
             where f.uuid = $1) former (address)
     where former.address is not null
       and not exists (select from ip_address a where a.machine_id = $2 and a.address = former.address)
     order by former.address
"""
# A group that has the other policy by now is left out. The rules of groups are not checked, because nothing moves.
_GROUPS = """
    insert into affinity_membership (machine_id, group_name, until_release, policy, hard)
    select $2, g.group_name, g.until_release, g.policy, g.hard
      from detached_machine f,
           jsonb_to_recordset(f.affinity_groups) g (group_name text, until_release boolean, policy text, hard boolean)
     where f.uuid = $1 and not exists (select from affinity_membership other
                                        where other.group_name = g.group_name and other.policy <> g.policy)
"""
# Its registration in a MAAS, unless an operation ends that: the MAAS goes on switching it at the same address.
_RELINK = """
    update maas_registration r set machine_id = m.id, system_id = m.system_id
      from detached_machine f, machine m
     where f.uuid = $1 and m.id = $2
       and r.id = (select max(id) from maas_registration
                    where system_id = f.system_id and machine_id is null and maas_system_id is not null)
       and not exists (select from operation o where o.is_open and o.request ->> 'registration' = r.power_id)
"""
_HOST_NAME = "select name from vm_host where id = $1"
_INSTALLATION = "select id from installation"


async def detach(db: Db, host_id: int, *, lost: bool = False) -> None:
    """Copies all machines of a host that is about to be removed. Idempotent. `lost` ones are never restored."""
    await db.execute(_DETACH, host_id, lost)


async def list_detached(db: Db, *, caller: Caller | None = None) -> tuple[DetachedMachine, ...]:
    """Returns the detached machines that the caller may see, the longest detached first. No caller: all."""
    rows = await db.fetch(_LIST, *seen_by(caller))
    return tuple(
        of_row(DetachedMachine, row, **{name: tuple(row[name]) for name in ("tags", "disks", "nics")}) for row in rows
    )


async def names_of(db: Db, machine: UUID) -> tuple[str, str] | None:
    """Returns the system id and hostname that the machine had; None if it is not detached."""
    row = await db.fetchrow(_NAMES, machine)
    return None if row is None else (row["system_id"], row["hostname"])


async def relink(db: Db, machine: UUID, machine_id: int) -> None:
    """Makes the registration of the detached machine in a MAAS that of its new row. Idempotent."""
    await db.execute(_RELINK, machine, machine_id)


async def drop(db: Db, machine: UUID) -> None:
    """Removes the record: the machine was restored, or its guest adopted. Idempotent."""
    await db.execute(_DROP, machine)


@frozen(kw_only=True)
class ReturnedGuest:
    """A guest on a host, and the detached machine that it was; `state`, `owned` and `as_found` are of the machine."""

    uuid: UUID
    hostname: str
    state: MachineState
    owned: bool
    as_found: bool
    guest_id: int
    mac_addresses: Sequence[str]


@frozen(kw_only=True)
class RestoredMachine:
    id: int
    system_id: str
    hostname: str
    lost_addresses: tuple[str, ...]  # former addresses of it and its devices that are in use now
    devices: tuple[str, ...]  # hostnames


async def returned_guests(db: Db, host_id: int, installation_id: UUID) -> tuple[ReturnedGuest, ...]:
    """Returns the guests of detached machines on a host that was added after they were detached."""
    rows = await db.fetch(_RETURNED, host_id, installation_id)
    return tuple(ReturnedGuest(**{**dict(row), "state": MachineState(row["state"])}) for row in rows)


async def insert_restored(
    db: Db, host_id: int, guest: ReturnedGuest, state: MachineState, *, new_system_id: str
) -> RestoredMachine:
    """Inserts the machine with its disks, NICs, free addresses and devices, and its registration in a MAAS.

    Uses `new_system_id` if its former system id is in use. Raises IdentifierTaken if its UUID, hostname or id, or a
    hostname or MAC address of it or its devices was just taken; the caller must then roll back.
    """
    try:
        return await _insert_restored(db, host_id, guest, state, new_system_id=new_system_id)
    except asyncpg.UniqueViolationError as error:
        raise IdentifierTaken(error.constraint_name or "") from error


async def _insert_restored(
    db: Db, host_id: int, guest: ReturnedGuest, state: MachineState, *, new_system_id: str
) -> RestoredMachine:
    row = await db.fetchrow(_RESTORE, guest.uuid, host_id, guest.guest_id, new_system_id, state.value)
    if row is None:  # another host lists the machine, too, and was refreshed first
        raise IdentifierTaken("machine_uuid_key")
    await db.execute(_DISKS, guest.uuid, row["id"], host_id)
    await db.execute(_NICS, guest.uuid, row["id"], host_id)
    await db.execute(_ADDRESSES, guest.uuid, row["id"])
    await db.execute(_KEPT_ADDRESSES, guest.uuid, row["id"])
    devices = await detached_device_store.insert_restored(db, guest.uuid, row["id"]) if guest.owned else ()
    await db.execute(_GROUPS, guest.uuid, row["id"])
    await relink(db, guest.uuid, row["id"])
    lost = tuple(one["address"] for one in await db.fetch(_LOST_ADDRESSES, guest.uuid, row["id"]))
    return RestoredMachine(
        id=row["id"], system_id=row["system_id"], hostname=row["hostname"], lost_addresses=lost, devices=devices
    )


async def host_name(db: Db, host_id: int) -> str | None:
    name: str | None = await db.fetchval(_HOST_NAME, host_id)
    return name


async def installation_id(db: Db) -> UUID:
    found: UUID = await db.fetchval(_INSTALLATION)
    return found
