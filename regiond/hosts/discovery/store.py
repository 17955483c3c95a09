"""Rows of servers, storage pools and guests, as discovery runs write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg
from attrs import asdict, fields

from common.boot import known_devices
from common.guest_facts import settings_in
from common.hosts.discovery import Discovery
from common.removal_facts import NO_REMOVAL_FACTS, RemovalFacts
from common.serialization import from_dict, to_dict
from common.values import HostFacts, StoragePool
from regiond.db.pool import Db, of_row
from regiond.hosts.discovery.allocations import GuestKey, inventory_of
from regiond.hosts.guest_record import GuestRecord, settings_of_row
from regiond.hosts.restored_guests import last_run
from regiond.ledger import store as ledger_store

_WRITE_SERVER = """
    update server set architecture = $2, hypervisor_version = $3, cores = $4, memory_mib = $5, cpu_speed_mhz = $6,
                      emulated = $7, numa_nodes = $8, network_devices = $9, gpus = $10,
                      huge_memory_mib = $11, uefi_firmware = $12, product = $13
     where id = $1
"""
_GUESTS_BY_ID = "select * from guest where id = any($1::integer[]) order by id"
_GUEST_OF_MACHINE = "select * from guest where machine_id = $1"
_LOCK_CLUSTER = """
    select pg_advisory_xact_lock(hashtextextended('cluster ' || cluster_id, 0))
      from vm_host where id = $1 and cluster_id is not null
"""
_WRITE_POOL = """
    insert into storage_pool as p (server_id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes, status,
                                   storage_id)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $10)
    on conflict (server_id, pool_key) do update
       set name = excluded.name, type = excluded.type, path = excluded.path,
           total_bytes = case when $9 then excluded.total_bytes else p.total_bytes end,
           used_elsewhere_bytes = case when $9 then excluded.used_elsewhere_bytes else p.used_elsewhere_bytes end,
           storage_id = case when $9 then excluded.storage_id else p.storage_id end,
           status = excluded.status, missing_since = null
"""
# libvirt knows a pool by a UUID, which an administrator who defines it again may not give it.
_REKEY_POOLS = """
    update storage_pool p set pool_key = found.pool_id
      from jsonb_to_recordset($2::jsonb) found (pool_id text, name text, type text, path text)
     where p.server_id = $1 and p.pool_key <> all($3::text[])
       and (p.name, p.type, p.path) = (found.name, found.type, found.path)
       and not exists (select from storage_pool o where o.server_id = $1 and o.pool_key = found.pool_id)
"""
_SET_POOLS_MISSING = """
    update storage_pool set missing_since = now()
     where server_id = $1 and pool_key = any($2::text[]) and missing_since is null
"""
_KEY = ("server_id", "project", "guest_key")
_COLUMNS = tuple(one.name for one in fields(GuestRecord))
# Hypervisors do not show what a running guest gets at its next start: what was reported last stays.
_KEPT = {
    "boot_order": "coalesce(excluded.boot_order, guest.boot_order)",
    "next_iso": """case when excluded.next_iso is not null or excluded.power_state = 'off' then excluded.next_iso
                        when guest.next_iso <> excluded.iso then guest.next_iso end""",
    "marker_absent_at": """case when guest.marker_machine is distinct from excluded.marker_machine
                                then excluded.marker_absent_at else guest.marker_absent_at end""",
}
# A row that the statement has inserted, not updated, has no xmax.
_WRITE_GUESTS = f"""
    insert into guest (server_id, {", ".join(_COLUMNS)}, marker_absent_at)
    select $1, {", ".join(f"found.{name}" for name in _COLUMNS)}, {last_run("$1")}
      from jsonb_populate_recordset(null::guest, $2::jsonb) found
    on conflict ({", ".join(_KEY)}) do update
       set {
    ", ".join(
        f"{name} = {_KEPT.get(name, f'excluded.{name}')}"
        for name in (*_COLUMNS, "marker_absent_at")
        if name not in _KEY
    )
}
    returning id, project, guest_key, xmax = 0 as is_new
"""  # noqa: S608  a constant
# Deletes the row on the cluster member that the machine left. If a guest stayed there, the next run of that member
# finds it.
_CLEAR_MACHINES = """
    with moved as (delete from guest where machine_id = any($1::integer[]) and server_id <> $2)
    update guest set machine_id = null where machine_id = any($1::integer[]) and server_id = $2
"""
_DELETE_GUESTS = (
    "delete from guest where server_id = $1 and (project, guest_key) in (select * from unnest($2::text[], $3::text[]))"
)
_GUEST_IDS = """
    select id from guest
     where server_id = $1 and (project, guest_key) in (select * from unnest($2::text[], $3::text[]))
"""
_COUNT_MACHINES = "select count(*) from machine where host_id = $1"
_SET_READY = """
    update vm_host set state = 'ready', error_code = null, error_message = null, error_details = null,
                       trust_error = null, rejected_secret = null, problems = $2
     where id = $1 and state <> 'removing'
       and (state <> 'ready' or error_code is not null or problems <> $2)
"""
_SET_FACTS_OF_PROJECT = """
    update vm_host set networks = $2, profiles = $3, placement_groups = $4
     where id = $1 and (networks, profiles, placement_groups) is distinct from ($2, $3, $4)
"""
_ADD_TAGS = """
    update vm_host set tags = tags || array(select tag from unnest($2::text[]) as tag where tag <> all(tags))
     where id = $1 and not tags @> $2::text[]
"""
_SET_DEFAULT_POOL = """
    update vm_host h set default_storage_pool_id = (
        select p.id from storage_pool p where p.server_id = h.server_id and p.missing_since is null
         order by p.status <> 'available', p.name <> 'default', p.id limit 1)
     where h.id = $1
       and not exists (select 1 from storage_pool p
                        where p.id = h.default_storage_pool_id and p.server_id = h.server_id
                          and p.missing_since is null)
       and (h.default_storage_pool_id is not null or exists (
            select 1 from storage_pool p where p.server_id = h.server_id and p.missing_since is null))
"""


async def lock_cluster(db: Db, host_id: int) -> None:
    """Serializes the runs of all members of the host's cluster: a machine that moves concerns two of them."""
    await db.execute(_LOCK_CLUSTER, host_id)


async def server_id_of(db: Db, host_id: int) -> int | None:
    """Returns the id of the host's server; None for a host that was never discovered, or was removed."""
    return await ledger_store.server_of_host(db, host_id)


async def count_machines(db: Db, host_id: int) -> int:
    found: int = await db.fetchval(_COUNT_MACHINES, host_id)
    return found


async def write_server(db: Db, server_id: int, facts: HostFacts) -> None:
    await db.execute(_WRITE_SERVER, server_id, *server_columns(facts))


async def rekey_pools(db: Db, server_id: int, pools: Sequence[StoragePool]) -> None:
    """Recognizes a pool that was defined again, with its name and path, under another key: it has its disks still."""
    found = [{"pool_id": pool.pool_id, "name": pool.name, "type": pool.type, "path": pool.path} for pool in pools]
    await db.execute(_REKEY_POOLS, server_id, found, [pool.pool_id for pool in pools])


async def write_pools(db: Db, server_id: int, pools: Iterable[StoragePool], missing: Sequence[str]) -> None:
    """Writes the storage pools. `missing` are the keys of pools that the run did not find."""
    for pool in pools:
        await db.execute(
            _WRITE_POOL, server_id, pool.pool_id, pool.name, pool.type, pool.path, pool.total_bytes,
            pool.used_elsewhere_bytes, pool.status, pool.is_available, pool.storage_id,
        )  # fmt: skip
    if missing:
        await db.execute(_SET_POOLS_MISSING, server_id, list(missing))


async def write_host(db: Db, host_id: int, discovery: Discovery) -> None:
    """Writes the values of the host itself: state, problems, facts of its project, tags, default storage pool."""
    facts = discovery.facts
    await db.execute(_SET_READY, host_id, to_dict(discovery.problems))
    of_project = (facts.networks, facts.profiles, facts.placement_groups)
    await db.execute(_SET_FACTS_OF_PROJECT, host_id, *(to_dict(list(found)) for found in of_project))
    await db.execute(_ADD_TAGS, host_id, list(facts.tags))
    await db.execute(_SET_DEFAULT_POOL, host_id)


async def guests_by_id(db: Db, guest_ids: list[int]) -> dict[int, GuestRecord]:
    """Returns the guests by id, in the order of the ids; guests that no longer exist are left out."""
    return {row["id"]: guest_of_row(row) for row in await db.fetch(_GUESTS_BY_ID, guest_ids)}


async def guest_of_machine(db: Db, machine_id: int) -> tuple[int, GuestRecord] | None:
    """Returns the server's id and the guest; None if the machine has no guest."""
    row = await db.fetchrow(_GUEST_OF_MACHINE, machine_id)
    return None if row is None else (row["server_id"], guest_of_row(row))


async def write_guests(db: Db, server_id: int, records: Sequence[GuestRecord]) -> bool:
    """Writes the guests. Requires the server's lock. Returns whether claims of guests that are machines now ended.

    Those are the machines' claims then.
    """
    if not records:
        return False
    machine_ids = [record.machine_id for record in records if record.machine_id is not None]
    if machine_ids:  # the machine's guest may have a new hypervisor id: its old row must not refer to the machine
        await db.execute(_CLEAR_MACHINES, machine_ids, server_id)
    by_key = {record.key: record for record in records}
    rows = await db.fetch(_WRITE_GUESTS, server_id, [_columns(record) for record in by_key.values()])
    known = (row for row in rows if not row["is_new"])  # a new one has no claims
    machine_guests = [row["id"] for row in known if by_key[row["project"], row["guest_key"]].machine_id is not None]
    return bool(machine_guests) and await ledger_store.drop_guests(db, machine_guests)


async def delete_guests(db: Db, server_id: int, keys: Sequence[GuestKey]) -> None:
    """Deletes the rows of these guests and their claims."""
    if not keys:
        return
    projects, guest_keys = [key[0] for key in keys], [key[1] for key in keys]
    ids = [row["id"] for row in await db.fetch(_GUEST_IDS, server_id, projects, guest_keys)]
    await ledger_store.drop_guests(db, ids)
    await db.execute(_DELETE_GUESTS, server_id, projects, guest_keys)


def guest_of_row(row: asyncpg.Record) -> GuestRecord:
    lists = {name: tuple(row[name]) for name in ("pinned_core_ids", "disks", "nics")}
    order = row["boot_order"]
    return of_row(
        GuestRecord,
        row,
        **lists,
        **settings_in(settings_of_row(row)),
        boot_order=None if order is None else known_devices(order),
        pending_boot_order=known_devices(row["pending_boot_order"]),
        removal=removal_of(row["removal"]),
    )


def removal_of(column: Mapping[str, Any] | None) -> RemovalFacts:
    """Returns the value of the column `guest.removal`; None is that of a machine without a guest."""
    return from_dict(column, RemovalFacts) if column else NO_REMOVAL_FACTS


def _columns(record: GuestRecord) -> dict[str, Any]:
    removal = {} if record.removal == NO_REMOVAL_FACTS else to_dict(record.removal)
    columns = {**asdict(record, recurse=False), **to_dict(settings_in(record)), "removal": removal}
    return {name: value for name, value in columns.items() if value is not None}


def server_columns(facts: HostFacts) -> tuple[object, ...]:
    """Returns the values of a server's row that discovery writes, in the order of the columns in the statements."""
    return (
        facts.architecture,
        facts.hypervisor_version,
        facts.cores,
        facts.memory_mib,
        facts.cpu_speed_mhz,
        facts.emulated,
        to_dict(list(facts.numa_nodes)),
        to_dict(list(facts.network_devices)),
        to_dict(list(facts.gpus)),
        inventory_of(facts.numa_nodes, facts.network_devices).huge_memory_mib,
        facts.uefi_firmware,
        facts.product,
    )
