"""Machines whose host was removed while their guests stayed: kept, listed, and back with the host.

They come back by themselves (docs/decisions/0006): when a host that was added after the removal lists their guest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import handover
from regiond.machines.life import MachineState, back
from regiond.machines.model import ForgottenMachine
from regiond.names import new_system_id

if TYPE_CHECKING:
    from regiond.db.pool import Db

_REMEMBER = """
    insert into machine_forgotten (uuid, system_id, hostname, adopted, host_name, driver, address, project, pool_id,
                                   zone_id, owner_id, architecture, cores, memory_mib, tags, description, state,
                                   composed_by_allocate, agent_name, owner_data, error_description, disks, nics)
    select m.uuid, m.system_id, m.hostname, m.adopted, h.name, h.driver, h.address, h.project, m.pool_id, m.zone_id,
           m.owner_id, m.architecture, m.cores, m.memory_mib, m.tags, m.description, m.state,
           m.composed_by_allocate, m.agent_name, m.owner_data, m.error_description,
           coalesce((select jsonb_agg(jsonb_build_object(
                                'index', d.index, 'volume', d.volume, 'pool_key', p.pool_key, 'pool_name', p.name,
                                'size_bytes', d.size_bytes, 'serial', d.serial, 'tags', d.tags) order by d.index)
                       from machine_disk d join storage_pool p on p.id = d.storage_pool_id
                      where d.machine_id = m.id), '[]'),
           coalesce((select jsonb_agg(jsonb_build_object(
                                'index', n.index, 'name', n.name, 'mac_address', n.mac_address, 'kind', n.kind,
                                'source', n.source, 'label', n.label, 'mode', n.mode, 'vid', n.vid,
                                'vlan_id', n.vlan_id, 'subnet_id', n.subnet_id, 'interface', i.name,
                                'ip', (select host(address) from ip_address where nic_id = n.id)) order by n.index)
                       from machine_nic n left join host_interface i on i.id = n.interface_id
                      where n.machine_id = m.id), '[]')
      from machine m join vm_host h on h.id = m.host_id
     where m.host_id = $1
    on conflict (uuid) do nothing
"""
_LIST = """
    select f.*, a.username as owner, z.name as zone, p.name as pool
      from machine_forgotten f
      left join account a on a.id = f.owner_id
      left join zone z on z.id = f.zone_id
      left join resource_pool p on p.id = f.pool_id
     order by f.forgotten_at, f.system_id
"""
_OF_MACHINE = "select system_id, hostname from machine_forgotten where uuid = $1"
_DROP = "delete from machine_forgotten where uuid = $1"

# Only by a host that is younger than the removal: one that shared the server all along does not take them over.
# Of two guests with one mark, that with the machine's name is the machine.
_FOUND_AGAIN = """
    select distinct on (f.uuid) f.uuid, f.hostname, f.state, f.owner_id is not null as owned, g.id as guest_id
      from vm_host h
      join guest g on g.server_id = h.server_id and g.machine_id is null and g.cores > 0 and g.memory_mib > 0
           and (h.driver <> 'lxd' or g.project = h.project)
      join machine_forgotten f on f.forgotten_at < h.created_at
           and ((g.marked_installation = $2 and g.marked_machine = f.uuid)
                or (f.adopted and f.driver = 'virsh' and h.driver = 'virsh' and g.marked_machine is null
                    and g.guest_key = f.uuid::text))
     where h.id = $1
       and not exists (select 1 from tombstone t where t.machine_uuid = f.uuid)
     order by f.uuid, g.name <> f.hostname, g.id
"""
_RESTORE = """
    insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, power_state, architecture, cores,
                         memory_mib, tags, owner_id, description, adopted, composed_by_allocate, agent_name, owner_data,
                         error_description)
    select f.uuid,
           case when exists (select 1 from machine m where m.system_id = f.system_id) then $4 else f.system_id end,
           case when exists (select 1 from machine m where m.hostname = f.hostname)
                then rtrim(left(f.hostname, 56), '-') || '-' || f.system_id else f.hostname end,
           h.id,
           coalesce((select id from resource_pool p where p.id = f.pool_id), h.pool_id),
           coalesce((select id from zone z where z.id = f.zone_id), h.zone_id),
           $5, g.power_state, f.architecture, g.cores, g.memory_mib, f.tags, f.owner_id, f.description, f.adopted,
           f.composed_by_allocate, f.agent_name, f.owner_data, f.error_description
      from machine_forgotten f, vm_host h, guest g
     where f.uuid = $1 and h.id = $2 and g.id = $3
    on conflict do nothing
    returning id, system_id, hostname
"""
_DISKS = """
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags)
    select $2, d.index, d.volume, p.id, d.size_bytes, d.serial, d.tags
      from machine_forgotten f,
           jsonb_to_recordset(f.disks) d (index integer, volume text, pool_key text, size_bytes bigint, serial text,
                                          tags text[]),
           vm_host h join storage_pool p on p.server_id = h.server_id
     where f.uuid = $1 and h.id = $3 and p.pool_key = d.pool_key
"""
# On the host's interface of the same name. VLANs and subnets may have been deleted meanwhile.
_NICS = """
    insert into machine_nic (machine_id, index, name, mac_address, kind, source, label, mode, vid, vlan_id, subnet_id,
                             interface_id)
    select $2, n.index, n.name, n.mac_address, n.kind, n.source, coalesce(n.label, ''), coalesce(n.mode, 'dhcp'), n.vid,
           (select id from vlan where id = n.vlan_id), (select id from subnet where id = n.subnet_id),
           (select id from host_interface i where i.host_id = $3 and i.name = n.interface
             order by i.missing_since is not null, i.kind <> n.kind, i.id limit 1)
      from machine_forgotten f,
           jsonb_to_recordset(f.nics) n (index integer, name text, mac_address text, kind text, source text, label text,
                                         mode text, vid integer, vlan_id integer, subnet_id integer, interface text)
     where f.uuid = $1
    on conflict (mac_address) do nothing
"""
# What it had, unless it is another's by now.
_ADDRESSES = """
    insert into ip_address (subnet_id, address, machine_id, nic_id)
    select k.subnet_id, n.ip, $2, k.id
      from machine_forgotten f, jsonb_to_recordset(f.nics) n (index integer, ip inet)
      join machine_nic k on k.machine_id = $2 and k.index = n.index and k.subnet_id is not null
     where f.uuid = $1 and n.ip is not null
    on conflict (address) do nothing
"""
_LOST_ADDRESSES = """
    select host(n.ip) as address
      from machine_forgotten f, jsonb_to_recordset(f.nics) n (ip inet)
     where f.uuid = $1 and n.ip is not null
       and not exists (select from ip_address a where a.machine_id = $2 and a.address = n.ip)
     order by n.ip
"""
_HOST_NAME = "select name from vm_host where id = $1"
_INSTALLATION = "select id from installation"


async def remember(db: Db, host_id: int) -> None:
    """Keep all machines of a host that is about to go."""
    await db.execute(_REMEMBER, host_id)


async def list_forgotten(db: Db) -> tuple[ForgottenMachine, ...]:
    """The longest forgotten first."""
    left_out = {"pool_id", "zone_id", "owner_id", "description", "state", "composed_by_allocate", "agent_name"}
    left_out |= {"owner_data", "error_description"}
    found = []
    for row in await db.fetch(_LIST):
        fields = {name: value for name, value in row.items() if name not in left_out}
        found.append(ForgottenMachine(**{**fields, **{name: tuple(row[name]) for name in ("tags", "disks", "nics")}}))
    return tuple(found)


async def names_of(db: Db, machine: UUID) -> tuple[str, str] | None:
    """System id and hostname that the machine had when it was forgotten."""
    row = await db.fetchrow(_OF_MACHINE, machine)
    return None if row is None else (row["system_id"], row["hostname"])


async def drop(db: Db, machine: UUID) -> None:
    """It is a machine again, or another one."""
    await db.execute(_DROP, machine)


async def restore(db: Db, host_id: int) -> frozenset[UUID]:
    """Make machines again of the forgotten ones whose guests the host has; after a discovery of it was taken in.

    One whose name or id another operation is just taking is left to the next refresh.
    """
    installation_id: UUID = await db.fetchval(_INSTALLATION)
    restored = set()
    for found in await db.fetch(_FOUND_AGAIN, host_id, installation_id):
        state = back(MachineState(found["state"]), owned=found["owned"])
        made = await db.fetchrow(_RESTORE, found["uuid"], host_id, found["guest_id"], new_system_id(), state.value)
        if made is None:
            continue
        await _with_parts(db, host_id, found, made["id"])
        await handover.take_back(db, host_id, found["guest_id"], made["id"], installation_id, found["uuid"])
        name, host_name = made["hostname"], await db.fetchval(_HOST_NAME, host_id)
        message = f"{name} is a machine again: {host_name} has its guest"
        if name != found["hostname"]:
            message += f"; its name {found['hostname']} was taken meanwhile"
        lost = [row["address"] for row in await db.fetch(_LOST_ADDRESSES, found["uuid"], made["id"])]
        if lost:
            message += f"; its addresses {', '.join(lost)} are not its own any more"
        await drop(db, found["uuid"])
        level = Level.WARNING if lost else Level.INFO
        await Events.record(db, "machine_restored", message, level=level, host_id=host_id, system_id=made["system_id"])
        restored.add(found["uuid"])
    return frozenset(restored)


async def _with_parts(db: Db, host_id: int, found: asyncpg.Record, machine_id: int) -> None:
    await db.execute(_DISKS, found["uuid"], machine_id, host_id)
    await db.execute(_NICS, found["uuid"], machine_id, host_id)
    await db.execute(_ADDRESSES, found["uuid"], machine_id)
