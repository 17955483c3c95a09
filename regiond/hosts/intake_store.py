"""Writes what a discovery changed, under the lock of its server. Unchanged: no row is written."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from attrs import asdict, evolve

from common.discovery import Discovery
from common.errors import WrongState
from common.values import DriverType, Guest, HostFacts
from common.wire import to_plain
from regiond.events.model import Level
from regiond.events.service import Events
from regiond.hosts import unused_store
from regiond.hosts.holding_store import held_by, tell_machine, write_held
from regiond.hosts.holdings import Key, stock_of
from regiond.hosts.intake import Changes, Finding, compare
from regiond.hosts.known import GuestRow, Known, row_of
from regiond.hosts.known_store import guest_row, read_known
from regiond.ledger import store as ledger
from regiond.ledger.counted import set_totals
from regiond.ledger.totals import retotal
from regiond.machines import life_store
from regiond.networks.cards import place_cards
from regiond.networks.learn import learn

if TYPE_CHECKING:
    from regiond.db.pool import Db

_SERVER_OF_HOST = "select server_id from vm_host where id = $1"
_HOST_NAME = "select name from vm_host where id = $1"
_FIND_SERVER = "select id from server where identity = $1"
_ADD_SERVER = """
    insert into server (identity, architecture, hypervisor_version, cores, memory_mib, cpu_speed_mhz, emulated,
                        numa_nodes, network_cards, gpus, huge_memory_mib)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    on conflict (identity) do nothing
"""
_WRITE_SERVER = """
    update server set architecture = $2, hypervisor_version = $3, cores = $4, memory_mib = $5, cpu_speed_mhz = $6,
                      emulated = $7, numa_nodes = $8, network_cards = $9, gpus = $10,
                      huge_memory_mib = $11
     where id = $1
"""
_GUESTS_BY_ID = "select * from guest where id = any($1::integer[]) order by id"
_GUEST_OF_MACHINE = "select * from guest where machine_id = $1"
_LOCK_CLUSTER = """
    select pg_advisory_xact_lock(hashtextextended('cluster ' || cluster_id, 0))
      from vm_host where id = $1 and cluster_id is not null
"""
_WRITE_POOL = """
    insert into storage_pool (server_id, pool_key, name, type, path, total_bytes, used_elsewhere_bytes)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (server_id, pool_key) do update
       set name = excluded.name, type = excluded.type, path = excluded.path, total_bytes = excluded.total_bytes,
           used_elsewhere_bytes = excluded.used_elsewhere_bytes, missing_since = null
"""
_LOSE_POOLS = """
    update storage_pool set missing_since = now()
     where server_id = $1 and pool_key = any($2::text[]) and missing_since is null
"""
_WRITE_GUESTS = """
    insert into guest (server_id, project, guest_key, name, marked_installation, marked_machine, machine_id,
                       power_state, cores, memory_mib, architecture, pinned_core_ids, huge_pages_backed, disks, nics,
                       kind)
    select $1, found.*
      from jsonb_to_recordset($2::jsonb) found (
           project text, guest_key text, name text, marked_installation uuid, marked_machine uuid, machine_id integer,
           power_state text, cores integer, memory_mib bigint, architecture text, pinned_core_ids integer[],
           huge_pages_backed boolean, disks jsonb, nics jsonb, kind text)
    on conflict (server_id, project, guest_key) do update
       set name = excluded.name, marked_installation = excluded.marked_installation,
           marked_machine = excluded.marked_machine, machine_id = excluded.machine_id,
           power_state = excluded.power_state, cores = excluded.cores, memory_mib = excluded.memory_mib,
           architecture = excluded.architecture, pinned_core_ids = excluded.pinned_core_ids,
           huge_pages_backed = excluded.huge_pages_backed, disks = excluded.disks, nics = excluded.nics,
           kind = excluded.kind
    returning id, project, guest_key
"""
_FREE_MACHINE_GUESTS = """
    update guest set machine_id = null where machine_id = any($1::integer[])
"""
# On the member that a cluster moved the machine away from: what stays there is for the next look there to find.
_DROP_MOVED_GUESTS = "delete from guest where machine_id = any($1::integer[]) and server_id <> $2"
_DROP_GUESTS = (
    "delete from guest where server_id = $1 and (project, guest_key) in (select * from unnest($2::text[], $3::text[]))"
)
_GUEST_IDS = """
    select id from guest
     where server_id = $1 and (project, guest_key) in (select * from unnest($2::text[], $3::text[]))
"""
_MOVE_MACHINE = "update machine set host_id = $2 where id = $1"
_MOVE_DISKS = """
    update machine_disk d set storage_pool_id = there.id
      from storage_pool was, storage_pool there
     where d.machine_id = $1 and was.id = d.storage_pool_id and there.server_id = $2 and there.pool_key = was.pool_key
"""
_COUNT_MACHINES = "select count(*) from machine where host_id = $1"
_HOST_SERVER = "update vm_host set server_id = $2 where id = $1 and server_id is distinct from $2"
_HOST_READY = """
    update vm_host set state = 'ready', error_code = null, error_message = null, problems = $2
     where id = $1 and state <> 'removing'
       and (state <> 'ready' or error_code is not null or problems <> $2)
"""
_OFFERED_TO_GUESTS = """
    update vm_host set networks = $2, profiles = $3 where id = $1 and (networks, profiles) is distinct from ($2, $3)
"""
_TAGS_FOUND = """
    update vm_host set tags = tags || array(select tag from unnest($2::text[]) as tag where tag <> all(tags))
     where id = $1 and not tags @> $2::text[]
"""
_DEFAULT_POOL = """
    update vm_host h set default_storage_pool_id = (
        select p.id from storage_pool p where p.server_id = h.server_id and p.missing_since is null
         order by p.name <> 'default', p.id limit 1)
     where h.id = $1
       and not exists (select 1 from storage_pool p
                        where p.id = h.default_storage_pool_id and p.server_id = h.server_id
                          and p.missing_since is null)
       and (h.default_storage_pool_id is not null or exists (
            select 1 from storage_pool p where p.server_id = h.server_id and p.missing_since is null))
"""
_MACHINE_POWER = "update machine set power_state = $2 where id = $1"
_MACHINE_SIZE = "update machine set cores = $2, memory_mib = $3 where id = $1"


async def take_in(db: Db, host_id: int, driver: str, found: Discovery, began_at: datetime) -> Changes:
    """Compare and write, inside the caller's transaction; returns what was new. `began_at` is the database's time."""
    await db.execute(_LOCK_CLUSTER, host_id)  # a machine that moved is news of two members
    server_id = await _server(db, host_id, f"{driver}/{found.facts.server_identity}", found.facts)
    await ledger.lock_server(db, server_id)
    known = await read_known(db, server_id, host_id, found, began_at)
    known = evolve(known, marks_told=driver != DriverType.LIBVIRT)
    changes = compare(found, known)
    if not changes.none:
        await _write(db, host_id, server_id, changes, known)
        await retotal(db, server_id)
    await db.execute(_HOST_READY, host_id, to_plain(found.problems))
    await db.execute(
        _OFFERED_TO_GUESTS, host_id, to_plain(list(found.facts.networks)), to_plain(list(found.facts.profiles))
    )
    await db.execute(_TAGS_FOUND, host_id, list(found.facts.tags))
    await db.execute(_DEFAULT_POOL, host_id)
    await learn(db, host_id, found.facts)
    await place_cards(db, [one.machine_id for one in changes.machines if one.finding is Finding.MOVED])
    return changes


async def record_guest(db: Db, host_id: int, guest: Guest, machine_id: int) -> None:
    """Keep the guest that was just made for a machine: the next discovery finds nothing new about it."""
    server_id: int = await db.fetchval(_SERVER_OF_HOST, host_id)
    await ledger.lock_server(db, server_id)
    await _write_guests(db, server_id, (row_of(guest, machine_id),))
    await retotal(db, server_id)  # a look may have taken it for a foreign guest while it was made


async def rows_of(db: Db, guest_ids: list[int]) -> dict[int, GuestRow]:
    """What is kept of these guests, in the order of their ids."""
    return {row["id"]: guest_row(row) for row in await db.fetch(_GUESTS_BY_ID, guest_ids)}


async def take_over(db: Db, server_id: int, row: GuestRow, machine_id: int) -> None:
    """The guest is that machine from now on, and the machine holds what the guest held: a fact, never refused."""
    await ledger.lock_server(db, server_id)
    ours = evolve(row, machine_id=machine_id)
    held = await held_by(db, server_id, ours, row.key)
    await _write_guests(db, server_id, (ours,))
    await ledger.hold(db, server_id=server_id, machine_id=machine_id, held=held)
    await tell_machine(db, machine_id, held)
    await retotal(db, server_id)


async def let_go(db: Db, machine_id: int, *, marked: bool = True) -> None:
    """The guest of the machine, if it has one, is foreign from now on and holds for itself what it takes.

    Not `marked`: our mark was taken off it, as the next look will find.
    """
    found = await db.fetchrow(_GUEST_OF_MACHINE, machine_id)
    if found is not None:  # once nobody else changes it, it may be another
        await ledger.lock_server(db, found["server_id"])
        found = await db.fetchrow(_GUEST_OF_MACHINE, machine_id)
    if found is None:
        await ledger.release_machine(db, machine_id)
        return
    server_id, foreign = found["server_id"], evolve(guest_row(found), machine_id=None)
    if not marked:
        foreign = evolve(foreign, marked_installation=None, marked_machine=None)
    held = await held_by(db, server_id, foreign, machine_id)
    await ledger.release_machine(db, machine_id)
    await ledger.lock_server(db, server_id)
    await _write_guests(db, server_id, (foreign,))
    await write_held(db, server_id, [(foreign, held)])
    await retotal(db, server_id)


async def _server(db: Db, host_id: int, identity: str, facts: HostFacts) -> int:
    """The server's row. Raises WrongState when the host was another server, and machines of ours are still on that."""
    server_id: int | None = await db.fetchval(_FIND_SERVER, identity)
    if server_id is None:
        await db.execute(_ADD_SERVER, identity, *_server_columns(facts))
        server_id = await db.fetchval(_FIND_SERVER, identity)
    if server_id is None:
        raise RuntimeError(f"server {identity} was neither added nor found")
    left_id: int | None = await db.fetchval(_SERVER_OF_HOST, host_id)
    if left_id not in (None, server_id) and (machines := await db.fetchval(_COUNT_MACHINES, host_id)):
        raise WrongState(
            f"The address leads to another server now ({identity}), while {machines} machines of this host are on "
            "the one before. Set the address back, or remove the host and add both.",
            machines=machines,
        )
    await db.execute(_HOST_SERVER, host_id, server_id)
    if left_id is not None and left_id != server_id:
        await ledger.drop_server(db, left_id)
        name = await db.fetchval(_HOST_NAME, host_id)
        message = f"{name}: its address leads to another server now ({identity}); what is known of it was begun anew"
        await Events.record(db, "host_server_changed", message, level=Level.WARNING, host_id=host_id)
    return server_id


def _server_columns(facts: HostFacts) -> tuple[object, ...]:
    return (
        facts.architecture,
        facts.hypervisor_version,
        facts.cores,
        facts.memory_mib,
        facts.cpu_speed_mhz,
        facts.emulated,
        to_plain(list(facts.numa_nodes)),
        to_plain(list(facts.network_cards)),
        to_plain(list(facts.gpus)),
        stock_of(facts.numa_nodes, facts.network_cards).huge_memory_mib,
    )


async def _write(db: Db, host_id: int, server_id: int, changes: Changes, known: Known) -> None:
    if changes.facts is not None and known.facts is not None:
        await db.execute(_WRITE_SERVER, server_id, *_server_columns(changes.facts))
    for pool in changes.pools_written:
        await db.execute(
            _WRITE_POOL, server_id, pool.pool_id, pool.name, pool.type, pool.path, pool.total_bytes,
            pool.used_elsewhere_bytes,
        )  # fmt: skip
    if changes.pools_missing:
        await db.execute(_LOSE_POOLS, server_id, list(changes.pools_missing))
    await _drop_gone(db, server_id, changes.guests_gone)
    await _write_guests(db, server_id, changes.guests_written)
    await _write_machines(db, host_id, server_id, changes)
    await set_totals(db, server_id, changes.totals_written)
    await write_held(db, server_id, changes.held)
    await unused_store.write(db, server_id, changes.volumes)


async def _drop_gone(db: Db, server_id: int, gone: tuple[Key, ...]) -> None:
    if not gone:
        return
    projects, keys = [key[0] for key in gone], [key[1] for key in gone]
    ids = [row["id"] for row in await db.fetch(_GUEST_IDS, server_id, projects, keys)]
    await ledger.drop_guests(db, ids)
    await db.execute(_DROP_GUESTS, server_id, projects, keys)


async def _write_guests(db: Db, server_id: int, rows: tuple[GuestRow, ...]) -> None:
    if not rows:
        return
    machine_ids = [row.machine_id for row in rows if row.machine_id is not None]
    if machine_ids:  # a machine whose guest has a new id of the hypervisor's must not be held by the old row
        await db.execute(_DROP_MOVED_GUESTS, machine_ids, server_id)
        await db.execute(_FREE_MACHINE_GUESTS, machine_ids)
    by_key = {row.key: row for row in rows}
    plain = [asdict(row, recurse=False) for row in by_key.values()]
    written = await db.fetch(_WRITE_GUESTS, server_id, plain)
    ours = [one["id"] for one in written if by_key[one["project"], one["guest_key"]].machine_id is not None]
    await ledger.drop_guests(db, ours)  # their machines hold the claims


async def _write_machines(db: Db, host_id: int, server_id: int, changes: Changes) -> None:
    for found in changes.machines:
        match found.finding:
            case Finding.MISSING:
                await life_store.looked_at(db, found.machine_id, there=False)
            case Finding.MOVED:
                await db.execute(_MOVE_MACHINE, found.machine_id, host_id)
                await db.execute(_MOVE_DISKS, found.machine_id, server_id)
                await ledger.move_machine(db, found.machine_id, server_id)
            case Finding.RETURNED:
                await life_store.looked_at(db, found.machine_id, there=True)
            case Finding.POWER if found.guest is not None:
                await db.execute(_MACHINE_POWER, found.machine_id, found.guest.power_state)
            case Finding.RESIZED if found.guest is not None:
                await db.execute(_MACHINE_SIZE, found.machine_id, found.guest.cores, found.guest.memory_mib)
