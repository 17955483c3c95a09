"""SQL for adoption: inserts and completes the machine's row; lists forgotten machines."""

from __future__ import annotations

from uuid import UUID

import asyncpg

from common.errors import Busy
from common.values import Guest
from regiond.db.pool import Db, of_row
from regiond.hosts.model import CONSOLE_TAG
from regiond.hosts.restored_guests import REAPPEARED, Tombstone, is_leftover
from regiond.machines.arrivals.adoption.model import AdoptionContext, MachineName
from regiond.machines.core.store import IdentifierTaken
from regiond.machines.values.adoption import ForgottenMachine
from regiond.networks.interface_store import bind_nics
from regiond.requests.caller import Caller, visible_pool_ids

_INSERT = """
    insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, power_state, architecture, cores,
                         memory_mib, tags, owner_id, adopted, as_found)
    select $1, $2, $3, h.id, h.pool_id, h.zone_id, 'adopting', $5, $6, $7, $8, array_remove(h.tags, $9), $10, true, true
      from vm_host h where h.id = $4
    returning id
"""
_COMPLETE = """
    update machine set cores = case when $2 > 0 then $2 else cores end,
                       memory_mib = case when $3 > 0 then $3 else memory_mib end,
                       architecture = coalesce(nullif($4, ''), architecture)
     where id = $1
"""
_DROP_DEVICES = """
    with disks as (delete from machine_disk where machine_id = $1) delete from machine_nic where machine_id = $1
"""
_DISKS = """
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, boots, origin)
    select m.id, d.index, d.volume, p.id, d.size_bytes, d.serial, d.boots,
           case when d.index = 0 or starts_with(d.volume, 'ik-' || hex || '-')
                     or starts_with(d.volume, 'ik-' || short || '-')
                then 'created' else 'foreign' end
      from installation i,
           lateral (select replace(i.id::text, '-', '') as hex) i_hex,
           lateral (select rtrim(translate(encode(decode(hex, 'hex'), 'base64'), '+/', '-_'), '=') as short) i_short,
           machine m
      join vm_host h on h.id = m.host_id join storage_pool p on p.server_id = h.server_id,
           jsonb_to_recordset($2::jsonb) d (index integer, volume text, pool_key text, size_bytes bigint, serial text,
                                           boots boolean)
     where m.id = $1 and p.pool_key = d.pool_key
"""
_NICS = """
    insert into machine_nic (machine_id, index, name, mac_address, kind, source)
    select $1, n.*
      from jsonb_to_recordset($2::jsonb) n (index integer, name text, mac_address text, kind text, source text)
    on conflict (mac_address) do nothing
"""
_PENDING = """
    select id, (request->'guest'->>'id')::integer as guest_id, system_id, hostname
      from operation
     where kind = 'adopt' and host_id = $1 and is_open
"""
_MACHINES = "select id, uuid, system_id, hostname from machine where id = any($1::integer[]) or uuid = any($2::uuid[])"
_TOMBSTONED = f"""
    select g.id, g.guest_key as found_key, t.was_composed, t.guest_key, {REAPPEARED} as reappeared,
           exists (select from operation o
                    where o.is_open and o.kind = 'clean_up'
                      and o.request #>> '{{guest,marker,machine_id}}' = g.marker_machine::text) as is_removed
      from guest g join tombstone t on t.machine_uuid = g.marker_machine
     where g.server_id = (select server_id from vm_host where id = $2) and g.marker_machine = any($1::uuid[])
"""  # noqa: S608  a constant
_DROP_TOMBSTONE = "delete from tombstone where machine_uuid = $1"
# The operation that forgot a machine is its record. Its guest may have been adopted or deleted since.
_FORGOTTEN = """
    with forgotten as (
        select distinct on (o.host_id, coalesce(nullif(o.request->'guest'->>'key', ''), o.system_id))
               o.id, o.system_id, o.hostname, o.host_name, o.request->'guest'->>'name' as guest_name,
               g.id as guest_id, g.machine_id, o.finished_at as forgotten_at, a.username, h.pool_id
          from operation o
          left join account a on a.id = o.account_id
          left join vm_host h on h.id = o.host_id
          left join guest g on g.server_id = h.server_id and g.guest_key = o.request->'guest'->>'key'
               and (h.driver <> 'lxd' or g.project = h.project)
         where o.kind = 'forget' and o.state = 'succeeded'
         order by o.host_id, coalesce(nullif(o.request->'guest'->>'key', ''), o.system_id), o.id desc)
    select system_id, hostname, host_name, guest_name, guest_id, forgotten_at, username
      from forgotten
     where machine_id is null and ($1::integer[] is null or pool_id = any($1))
     order by id
"""
_OWNER_OF = "select a.username from machine m join account a on a.id = m.owner_id where m.id = $1"


async def read_context(db: Db, host_id: int, machine_ids: list[int], marked_machines: list[UUID]) -> AdoptionContext:
    """Returns the records on the guests of a host.

    `machine_ids` are the machines that are guests of the host, `marked_machines` the machines that markers name.
    """
    machines = await db.fetch(_MACHINES, machine_ids, marked_machines)
    pending = await db.fetch(_PENDING, host_id)
    return AdoptionContext(
        machines={row["id"]: _machine_name(row) for row in machines},
        existing=frozenset(row["uuid"] for row in machines),
        leftovers=frozenset(
            row["id"]
            for row in await db.fetch(_TOMBSTONED, marked_machines, host_id)
            if row["is_removed"] or is_leftover(of_row(Tombstone, row), row["found_key"], reappeared=row["reappeared"])
        ),
        pending={row["guest_id"]: _machine_name(row) for row in pending},
    )


def _machine_name(row: asyncpg.Record) -> MachineName:
    return MachineName(id=row["id"], system_id=row["system_id"], hostname=row["hostname"])


async def insert(
    db: Db,
    *,
    uuid: UUID,
    system_id: str,
    hostname: str,
    host_id: int,
    power_state: str,
    architecture: str,
    cores: int,
    memory_mib: int,
    owner_id: int | None,
) -> int:
    """Inserts a machine in the pool and zone of its host, removes its tombstone and returns its row id.

    Without `owner_id`, only administrators may use the machine. Raises IdentifierTaken, after which the caller's
    transaction remains usable.
    """
    try:
        async with db.transaction():
            machine_id: int = await db.fetchval(
                _INSERT,
                uuid,
                system_id,
                hostname,
                host_id,
                power_state,
                architecture,
                cores,
                memory_mib,
                CONSOLE_TAG,
                owner_id,
            )
    except asyncpg.UniqueViolationError as error:
        raise IdentifierTaken(error.constraint_name or "") from error
    await db.execute(_DROP_TOMBSTONE, uuid)
    return machine_id


async def complete(db: Db, machine_id: int, guest: Guest) -> None:
    """Records size, disks and NICs as the host reports them. Idempotent.

    Omits disks outside the host's storage pools, and NICs whose MAC address another machine has. A disk that is not a
    volume of its own (LXD's root) is recorded by its device name. Raises Busy if another transaction just gave a MAC
    address to a device; the caller's transaction must then roll back.
    """
    await db.execute(_COMPLETE, machine_id, guest.cores, guest.memory_mib, guest.architecture)
    await db.execute(_DROP_DEVICES, machine_id)
    disks = [
        {"index": index, "volume": disk.volume or disk.device, "pool_key": disk.pool_id,
         "size_bytes": disk.size_bytes, "serial": disk.serial or "",
         "boots": disk.device == guest.boot_device}
        for index, disk in enumerate(guest.disks)
        if disk.pool_id and disk.size_bytes
    ]  # fmt: skip
    nics = [
        {"index": index, "name": f"eth{index}", "mac_address": nic.mac_address.lower(), "kind": nic.kind.value,
         "source": nic.source}
        for index, nic in enumerate(guest.nics)
        if nic.mac_address
    ]  # fmt: skip
    await db.execute(_DISKS, machine_id, disks)
    try:
        await db.execute(_NICS, machine_id, nics)
    except asyncpg.UniqueViolationError as error:
        raise Busy(f"A MAC address of {guest.name} was just given to a device, which will lose it.") from error
    await bind_nics(db, [machine_id])


async def list_forgotten(db: Db, *, caller: Caller | None = None) -> tuple[ForgottenMachine, ...]:
    """Returns the machines that were forgotten and not adopted again, the longest forgotten first.

    Machines on hosts that the caller may not see are left out.
    """
    return tuple(ForgottenMachine(**row) for row in await db.fetch(_FORGOTTEN, visible_pool_ids(caller)))


async def owner_of(db: Db, machine_id: int) -> str | None:
    """Returns the name of the account that the machine belongs to."""
    found: str | None = await db.fetchval(_OWNER_OF, machine_id)
    return found
