"""Reads the snapshot of a server that a discovery run is compared with."""

from __future__ import annotations

import asyncpg

from common.hardware import Gpu, NetworkDevice
from common.hosts.discovery import Discovery
from common.serialization import from_dict
from common.values import HostFacts, NumaNode, StoragePool
from regiond.db.pool import Db, of_row
from regiond.hosts.discovery import orphaned_volume_store
from regiond.hosts.discovery.allocation_store import read_discrete, read_storage, read_totals
from regiond.hosts.discovery.model import DiscoveryRun, GuestChangeHandler
from regiond.hosts.discovery.snapshot import MachineSnapshot, ServerSnapshot
from regiond.hosts.discovery.store import guest_of_row
from regiond.hosts.image_copies import store as image_copy_store
from regiond.hosts.restored_guests import REAPPEARED, STALE_CALL, Tombstone, last_run
from regiond.racks.service import read_installation_id

_SERVER = "select * from server where id = $1"
_POOLS = """
    select id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes, status, storage_id, missing_since
      from storage_pool where server_id = $1
"""
_GUESTS = "select * from guest where server_id = $1"
_MACHINES = """
    select m.id, m.uuid, m.system_id, m.hostname, m.state, m.power_state, m.cores, m.memory_mib, m.boot_once_key,
           m.adopted or m.imported as adopted,
           m.host_id = $2 as on_this_host, h.server_id = $1 as on_this_server,
           m.settled_at < $3 and not exists (
               select 1 from operation o
                where o.machine_id = m.id and o.is_open) as settled,
           array(select array[p.pool_key, d.volume]
                   from machine_disk d join storage_pool p on p.id = d.storage_pool_id
                  where d.machine_id = m.id order by d.boots desc, d.index) as disks
      from machine m join vm_host h on h.id = m.host_id
     where h.server_id = $1 or h.cluster_id = (select cluster_id from vm_host where id = $2)
"""
_OTHER_MEMBERS = """
    select other.member
      from vm_host h join vm_host other on other.cluster_id = h.cluster_id and other.id <> h.id
     where h.id = $1 and other.state <> 'removing'
"""
_TOMBSTONES = f"""
    select machine_uuid, was_composed, guest_key, recorded_at >= $2 as is_new,
           coalesce(recorded_at + {STALE_CALL} < {last_run("$3")}, false) as is_old
      from tombstone where machine_uuid = any($1::uuid[])
"""  # noqa: S608  constants
_REAPPEARED = f"""
    select g.project, g.guest_key from guest g join tombstone t on t.machine_uuid = g.marker_machine
     where g.server_id = $1 and {REAPPEARED}
"""  # noqa: S608  a constant
_MARKED_MACHINES = "select uuid from machine where uuid = any($1::uuid[])"


async def read_snapshot(
    db: Db,
    server_id: int,
    host_id: int,
    run: DiscoveryRun,
    machine_states: GuestChangeHandler,
    *,
    markers_listed: bool,
) -> ServerSnapshot:
    """Returns the server as the database has it. The caller holds the server's lock.

    `run` names the markers to look up and the time since which machines must be unchanged to be settled.
    """
    marked = [guest.marker.machine_id for guest in run.discovery.guests if guest.marker]
    tombstones = await db.fetch(_TOMBSTONES, marked, run.began_at, server_id) if marked else []
    reappeared = await db.fetch(_REAPPEARED, server_id) if tombstones else []
    alive = await db.fetch(_MARKED_MACHINES, marked) if marked else []
    server = await db.fetchrow(_SERVER, server_id)
    guests = [guest_of_row(row) for row in await db.fetch(_GUESTS, server_id)]
    rows = await db.fetch(_MACHINES, server_id, host_id, run.began_at)
    machines = [_machine(row, machine_states) for row in rows]
    pools = [row for row in await db.fetch(_POOLS, server_id) if row["missing_since"] is None]
    discrete = await read_discrete(db, server_id, [machine.id for machine in machines])
    return ServerSnapshot(
        installation_id=await read_installation_id(db),
        facts=_facts(server, run.discovery) if server is not None else None,
        storage_pools={row["pool_key"]: _pool(row) for row in pools},
        guests={guest.key: guest for guest in guests},
        machines={machine.uuid: machine for machine in machines},
        machines_elsewhere=frozenset(row["uuid"] for row in alive) - {machine.uuid for machine in machines},
        other_members=frozenset(row["member"] for row in await db.fetch(_OTHER_MEMBERS, host_id)),
        markers_listed=markers_listed,
        tombstones={row["machine_uuid"]: of_row(Tombstone, row) for row in tombstones},
        new_tombstones=frozenset(row["machine_uuid"] for row in tombstones if row["is_new"]),
        old_tombstones=frozenset(row["machine_uuid"] for row in tombstones if row["is_old"]),
        reappeared=frozenset((row["project"], row["guest_key"]) for row in reappeared),
        huge_memory_mib=server["huge_memory_mib"] if server is not None else 0,
        discrete_totals=await read_totals(db, server_id),
        discrete=discrete,
        storage=await read_storage(db, server_id),
        volumes=await orphaned_volume_store.read(db, server_id, run.discovery, run.began_at),
        image_copies=await image_copy_store.read_snapshot(db, server_id, host_id, run.began_at),
    )


def _machine(row: asyncpg.Record, machine_states: GuestChangeHandler) -> MachineSnapshot:
    return of_row(
        MachineSnapshot,
        row,
        disks=tuple((pool_key, volume) for pool_key, volume in row["disks"]),
        expects_guest=machine_states.expects_guest(row["state"]),
        awaits_guest=machine_states.awaits_guest(row["state"]),
    )


def _facts(row: asyncpg.Record, discovery: Discovery) -> HostFacts:
    return HostFacts(
        server_identity=discovery.facts.server_identity,
        hypervisor_version=row["hypervisor_version"],
        architecture=row["architecture"],
        cores=row["cores"],
        memory_mib=row["memory_mib"],
        cpu_speed_mhz=row["cpu_speed_mhz"],
        emulated=row["emulated"],
        numa_nodes=tuple(from_dict(node, NumaNode) for node in row["numa_nodes"]),
        network_devices=tuple(from_dict(device, NetworkDevice) for device in row["network_devices"]),
        gpus=tuple(from_dict(gpu, Gpu) for gpu in row["gpus"]),
        uefi_firmware=row["uefi_firmware"],
        product=row["product"],
    )


def _pool(row: asyncpg.Record) -> StoragePool:
    return of_row(StoragePool, row, pool_id=row["pool_key"])
