"""SQL that restores the devices of a detached machine with it."""

from __future__ import annotations

from uuid import UUID

from regiond.db.pool import Db

# As for a machine, the hostname gets the system id as suffix if another one has the hostname now. Devices for which
# that name is taken, too, are left out.
_DEVICES = """
    insert into device (system_id, hostname, parent_id, description, created_at, owner_data)
    select d.system_id, free.hostname, $2, d.description, d.created_at, d.owner_data
      from detached_machine f,
           jsonb_to_recordset(f.devices) d (system_id text, hostname text, description text, created_at timestamptz,
                                            owner_data jsonb),
           lateral (select name.hostname
                      from (values (1, d.hostname), (2, rtrim(left(d.hostname, 56), '-') || '-' || d.system_id))
                           name (choice, hostname)
                     where not exists (select from used_hostname u where u.hostname = name.hostname)
                     order by name.choice limit 1) free
     where f.uuid = $1 and not exists (select from machine m where m.system_id = d.system_id)
     order by d.created_at
    on conflict do nothing
    returning hostname
"""
# NICs whose MAC address another NIC has now are left out. VLANs and subnets may have been deleted in the meantime.
_NICS = """
    insert into device_nic (device_id, name, mac_address, vlan_id, subnet_id, mode, mtu, tags)
    select o.id, n.name, n.mac_address, (select id from vlan where id = n.vlan_id),
           (select id from subnet where id = n.subnet_id), n.mode, n.mtu, n.tags
      from detached_machine f, jsonb_to_recordset(f.devices) d (system_id text, nics jsonb),
           jsonb_to_recordset(d.nics) n (name text, mac_address text, vlan_id integer, subnet_id integer, mode text,
                                         mtu integer, tags text[]),
           device o
     where f.uuid = $1 and o.parent_id = $2 and o.system_id = d.system_id
       and not exists (select from used_mac_address u where u.mac_address = n.mac_address)
"""
_ADDRESSES = """
    insert into ip_address (subnet_id, address, machine_id, device_nic_id, on_host)
    select k.subnet_id, n.ip, $2, k.id, false
      from detached_machine f, jsonb_to_recordset(f.devices) d (system_id text, nics jsonb),
           jsonb_to_recordset(d.nics) n (mac_address text, ip inet), device o, device_nic k
     where f.uuid = $1 and n.ip is not null and o.parent_id = $2 and o.system_id = d.system_id
       and k.device_id = o.id and k.mac_address = n.mac_address and k.subnet_id is not null
    on conflict (address) do nothing
"""
_UNLINK = """
    update device_nic n set mode = 'unconfigured', subnet_id = null
      from device d
     where d.id = n.device_id and d.parent_id = $1 and n.mode in ('auto', 'static')
       and not exists (select from ip_address a where a.device_nic_id = n.id)
"""


async def insert_restored(db: Db, machine: UUID, machine_id: int) -> tuple[str, ...]:
    """Inserts the devices and returns their hostnames. They have their addresses where these are free; else no link.

    Raises UniqueViolationError if another transaction just took a hostname or MAC address.
    """
    names = tuple(row["hostname"] for row in await db.fetch(_DEVICES, machine, machine_id))
    if names:
        await db.execute(_NICS, machine, machine_id)
        await db.execute(_ADDRESSES, machine, machine_id)
        await db.execute(_UNLINK, machine_id)
    return names
