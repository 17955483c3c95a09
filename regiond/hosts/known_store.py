"""What the database holds about a server, to compare a discovery with."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from common.discovery import Discovery
from common.hardware import Gpu, NetworkCard
from common.values import HostFacts, NumaNode, StoragePool
from common.wire import from_plain
from regiond.hosts import unused_store
from regiond.hosts.holding_store import read_counted, read_totals
from regiond.hosts.known import GuestRow, Known, KnownMachine

if TYPE_CHECKING:
    import asyncpg

    from regiond.db.pool import Db

_SERVER = "select * from server where id = $1"
_POOLS = """
    select id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes, missing_since
      from storage_pool where server_id = $1
"""
_GUESTS = "select * from guest where server_id = $1"
_MACHINES = """
    select m.id, m.uuid, m.hostname, m.state, m.power_state, m.cores, m.memory_mib, m.adopted,
           m.host_id = $2 as on_this_host, h.server_id = $1 as on_this_server,
           m.settled_at < $3 and not exists (
               select 1 from operation o
                where o.machine_id = m.id and o.state in ('queued', 'running', 'waiting', 'undoing')) as settled
      from machine m join vm_host h on h.id = m.host_id
     where h.server_id = $1 or h.cluster_id = (select cluster_id from vm_host where id = $2)
"""
_FELLOW_MEMBERS = """
    select fellow.member
      from vm_host h join vm_host fellow on fellow.cluster_id = h.cluster_id and fellow.id <> h.id
     where h.id = $1 and fellow.state <> 'removing'
"""
_TOMBSTONES = """
    select machine_uuid, given_up_at >= $2 as since from tombstone where machine_uuid = any($1::uuid[])
"""
_MARKED = "select uuid from machine where uuid = any($1::uuid[])"
_INSTALLATION = "select id from installation"


async def read_known(db: Db, server_id: int, host_id: int, found: Discovery, began_at: datetime) -> Known:
    marked = [guest.mark.machine_id for guest in found.guests if guest.mark]
    tombstones = await db.fetch(_TOMBSTONES, marked, began_at) if marked else []
    alive = await db.fetch(_MARKED, marked) if marked else []
    server = await db.fetchrow(_SERVER, server_id)
    guests = [guest_row(row) for row in await db.fetch(_GUESTS, server_id)]
    machines = [KnownMachine(**dict(row)) for row in await db.fetch(_MACHINES, server_id, host_id, began_at)]
    pools = [row for row in await db.fetch(_POOLS, server_id) if row["missing_since"] is None]
    counted = await read_counted(db, server_id, [machine.id for machine in machines])
    installation_id: UUID = await db.fetchval(_INSTALLATION)
    return Known(
        installation_id=installation_id,
        facts=_facts(server, found.facts.server_identity) if server is not None else None,
        storage_pools={row["pool_key"]: _pool(row) for row in pools},
        guests={row.key: row for row in guests},
        machines={machine.uuid: machine for machine in machines},
        elsewhere=frozenset(row["uuid"] for row in alive) - {machine.uuid for machine in machines},
        fellow_members=frozenset(row["member"] for row in await db.fetch(_FELLOW_MEMBERS, host_id)),
        given_up=frozenset(row["machine_uuid"] for row in tombstones),
        given_up_since=frozenset(row["machine_uuid"] for row in tombstones if row["since"]),
        huge_memory_mib=server["huge_memory_mib"] if server is not None else 0,
        counted_totals=await read_totals(db, server_id),
        counted=counted,
        unused=await unused_store.read_known(db, server_id, found, began_at),
    )


def _facts(row: asyncpg.Record, identity: str) -> HostFacts:
    return HostFacts(
        server_identity=identity,
        hypervisor_version=row["hypervisor_version"],
        architecture=row["architecture"],
        cores=row["cores"],
        memory_mib=row["memory_mib"],
        cpu_speed_mhz=row["cpu_speed_mhz"],
        emulated=row["emulated"],
        numa_nodes=tuple(from_plain(node, NumaNode) for node in row["numa_nodes"]),
        network_cards=tuple(from_plain(card, NetworkCard) for card in row["network_cards"]),
        gpus=tuple(from_plain(gpu, Gpu) for gpu in row["gpus"]),
    )


def _pool(row: asyncpg.Record) -> StoragePool:
    return StoragePool(
        pool_id=row["pool_key"],
        name=row["name"],
        type=row["type"],
        path=row["path"],
        total_bytes=row["total_bytes"],
        used_elsewhere_bytes=row["used_elsewhere_bytes"],
    )


def guest_row(row: asyncpg.Record) -> GuestRow:
    fields = {name: value for name, value in row.items() if name not in ("id", "server_id")}
    for name in ("pinned_core_ids", "disks", "nics"):
        fields[name] = tuple(fields[name])
    return GuestRow(**fields)
