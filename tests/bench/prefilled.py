"""Writes hosts and machines directly into a database, with a consistent ledger."""

from __future__ import annotations

from common.units import BYTES_PER_GB
from regiond.db.pool import connect
from regiond.ledger.consistency import check

CORES, MEMORY_MIB, STORAGE_GB = 256, 1024 * 1024, 10_000
DISK_BYTES = 8 * BYTES_PER_GB

_SERVERS = f"""
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib, cores_claimed,
                        memory_mib_claimed)
    select 'simulated/bench-' || n, 'amd64', '1', {CORES}, {MEMORY_MIB}, $2::bigint, 1024 * $2::bigint
      from generate_series(1, $1) n
"""  # noqa: S608  # our own numbers
_STORAGE_POOLS = f"""
    insert into storage_pool (server_id, pool_key, name, type, path, total_bytes, claimed_bytes)
    select id, 'default', 'default', 'dir', '/default', {STORAGE_GB}::bigint * {BYTES_PER_GB},
           {DISK_BYTES}::bigint * $1
      from server order by id
"""  # noqa: S608
_HOSTS = """
    insert into vm_host (name, driver, address, server_id, state, default_storage_pool_id, system_id)
    select 'host-' || s.id, 'simulated', 'simulated:bench-' || s.id, s.id, 'ready', p.id,
           'h' || lpad(to_hex(s.id), 5, '0')
      from server s join storage_pool p on p.server_id = s.id order by s.id
"""
_INTERFACES = """
    insert into host_interface (host_id, name, kind, type, dhcp, vlan_id)
    select id, 'default', 'network', 'bridge', true, 5001 from vm_host
"""
_SCHEDULES = """
    insert into vm_host_schedule (host_id, next_refresh_at, refreshed_at)
    select id, now() + interval '1 day', now() from vm_host
"""
_MACHINES = """
    insert into machine (uuid, system_id, hostname, host_id, state, power_state, architecture, cores, memory_mib)
    select gen_random_uuid(), lpad(to_hex(h.id * 1000 + n), 8, 'm'), 'vm-' || h.id || '-' || n, h.id, 'ready', 'off',
           'amd64', 1, 1024
      from vm_host h, generate_series(1, $1) n
"""
_DISKS = f"""
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial)
    select m.id, 0, m.hostname, h.default_storage_pool_id, {DISK_BYTES}, m.system_id
      from machine m join vm_host h on h.id = m.host_id
"""  # noqa: S608
_NICS = """
    insert into machine_nic (machine_id, index, name, mac_address, kind, source)
    select id, 0, 'eth0', '02:' || regexp_replace(lpad(to_hex(id), 10, '0'), '(..)(..)(..)(..)(..)',
           '\\1:\\2:\\3:\\4:\\5'), 'network', 'default'
      from machine
"""
_CLAIMS = f"""
    insert into claim (server_id, machine_id, resource, storage_pool_id, amount)
    select h.server_id, m.id, r.resource,
           case when r.resource = 'storage_bytes' then h.default_storage_pool_id end, r.amount
      from machine m join vm_host h on h.id = m.host_id,
           (values ('cores', 1::bigint), ('memory_mib', 1024), ('storage_bytes', {DISK_BYTES})) r (resource, amount)
"""  # noqa: S608
_GUESTS = f"""
    insert into guest (server_id, project, guest_key, name, machine_id, power_state, cores, memory_mib, architecture,
                       disks)
    select h.server_id, '', m.uuid::text, m.hostname, m.id, 'off', 1, 1024, 'amd64',
           jsonb_build_array(jsonb_build_object(
               'device', 'vda', 'size_bytes', {DISK_BYTES}::bigint, 'pool_id', 'default', 'volume', m.hostname,
               'serial', m.system_id, 'missing', false))
      from machine m join vm_host h on h.id = m.host_id
"""  # noqa: S608
_REACH = """
    insert into rack_reach (rack_id, host_id, reaches) select r.id, h.id, true from rack r, vm_host h
    on conflict do nothing
"""
_OVERSUBSCRIBED = """
    select (select count(*) from server s join vm_host h on h.server_id = s.id
             where s.cores_claimed > s.cores * h.cpu_over_commit_ratio
                or s.memory_mib_claimed > s.memory_mib * h.memory_over_commit_ratio)
         + (select count(*) from storage_pool where claimed_bytes + used_elsewhere_bytes > total_bytes)
"""


async def prefill(dsn: str, *, hosts: int, machines_each: int) -> None:
    """Fills a database without hosts. Every enrolled rack reaches every host."""
    connection = await connect(dsn, application_name="bench")
    try:
        async with connection.transaction():
            await connection.execute(_SERVERS, hosts, machines_each)
            await connection.execute(_STORAGE_POOLS, machines_each)
            for statement in (_HOSTS, _INTERFACES, _SCHEDULES):
                await connection.execute(statement)
            await connection.execute(_MACHINES, machines_each)
            for statement in (_DISKS, _NICS, _CLAIMS, _GUESTS, _REACH):
                await connection.execute(statement)
        await connection.execute("analyze")
        faults = await check(connection)
    finally:
        await connection.close()
    if faults:
        raise RuntimeError(f"the prefilled ledger is inconsistent: {faults[:3]}")


async def oversubscribed(dsn: str) -> int:
    """Counts overcommitted servers and storage pools. Raises if a total differs from the sum of its claims."""
    connection = await connect(dsn, application_name="bench")
    try:
        faults = await check(connection)
        found: int = await connection.fetchval(_OVERSUBSCRIBED)
    finally:
        await connection.close()
    if faults:
        raise RuntimeError(f"the ledger is inconsistent: {faults[:3]}")
    return found
