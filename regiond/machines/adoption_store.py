"""The rows of machines that were guests before: made at once with the intent, completed when the guest is marked."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
from attrs import frozen

from common.values import Guest
from regiond.machines.store import Taken
from regiond.networks.cards import place_cards

if TYPE_CHECKING:
    from regiond.db.pool import Db

_INSERT = """
    insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, power_state, architecture, cores,
                         memory_mib, tags, adopted)
    select $1, $2, $3, h.id, h.pool_id, h.zone_id, 'adopting', $5, $6, $7, $8, h.tags, true
      from vm_host h where h.id = $4
    returning id
"""
_COMPLETE = """
    update machine set cores = case when $2 > 0 then $2 else cores end,
                       memory_mib = case when $3 > 0 then $3 else memory_mib end,
                       architecture = coalesce(nullif($4, ''), architecture)
     where id = $1
"""
_DROP_PARTS = """
    with disks as (delete from machine_disk where machine_id = $1) delete from machine_nic where machine_id = $1
"""
_DISKS = """
    insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial)
    select m.id, d.index, d.volume, p.id, d.size_bytes, d.serial
      from machine m join vm_host h on h.id = m.host_id join storage_pool p on p.server_id = h.server_id,
           jsonb_to_recordset($2::jsonb) d (index integer, volume text, pool_key text, size_bytes bigint, serial text)
     where m.id = $1 and p.pool_key = d.pool_key
"""
_NICS = """
    insert into machine_nic (machine_id, index, name, mac_address, kind, source)
    select $1, n.*
      from jsonb_to_recordset($2::jsonb) n (index integer, name text, mac_address text, kind text, source text)
    on conflict (mac_address) do nothing
"""
_UNDER_WAY = """
    select id, (request->'guest'->>'id')::integer as guest_id, system_id, hostname
      from operation
     where kind = 'adopt' and host_id = $1 and state in ('queued', 'running', 'waiting', 'undoing')
"""
_MACHINES = "select id, uuid, system_id, hostname from machine where id = any($1::integer[]) or uuid = any($2::uuid[])"
_GIVEN_UP = "select machine_uuid from tombstone where machine_uuid = any($1::uuid[])"
_UNBURY = "delete from tombstone where machine_uuid = $1"
_GUEST_OF = "select id, guest_key, name from guest where machine_id = $1"


@frozen(kw_only=True)
class Named:
    """A machine by its names, or an operation that is about one."""

    id: int
    system_id: str
    hostname: str


@frozen(kw_only=True)
class Standing:
    """What is known of the guests of a host besides their rows."""

    machines: dict[int, Named]  # by row id
    marked: frozenset[UUID]  # machines that exist, of those that guests carry the mark of
    given_up: frozenset[UUID]
    under_way: dict[int, Named]  # adoptions, by the guest's row id


async def standing(db: Db, host_id: int, machine_ids: list[int], marks: list[UUID]) -> Standing:
    machines = await db.fetch(_MACHINES, machine_ids, marks)
    under_way = await db.fetch(_UNDER_WAY, host_id)
    return Standing(
        machines={row["id"]: _named(row) for row in machines},
        marked=frozenset(row["uuid"] for row in machines),
        given_up=frozenset(row["machine_uuid"] for row in await db.fetch(_GIVEN_UP, marks)),
        under_way={row["guest_id"]: _named(row) for row in under_way},
    )


def _named(row: asyncpg.Record) -> Named:
    return Named(id=row["id"], system_id=row["system_id"], hostname=row["hostname"])


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
) -> int:
    """The id of the machine's row, in pool and zone of its host. Raises Taken; the caller's transaction may go on."""
    try:
        async with db.transaction():
            machine_id: int = await db.fetchval(
                _INSERT, uuid, system_id, hostname, host_id, power_state, architecture, cores, memory_mib
            )
    except asyncpg.UniqueViolationError as error:
        raise Taken(error.constraint_name or "") from error
    await db.execute(_UNBURY, uuid)
    return machine_id


async def complete(db: Db, machine_id: int, guest: Guest) -> None:
    """Size, disks and cards as the host tells them. Disks in no storage pool of the host have no row, and neither have
    cards whose address another machine has. A disk that is no volume of its own (LXD's root) goes by its device."""
    await db.execute(_COMPLETE, machine_id, guest.cores, guest.memory_mib, guest.architecture)
    await db.execute(_DROP_PARTS, machine_id)
    disks = [
        {"index": index, "volume": disk.volume or disk.device, "pool_key": disk.pool_id,
         "size_bytes": disk.size_bytes, "serial": disk.serial or ""}
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
    await db.execute(_NICS, machine_id, nics)
    await place_cards(db, [machine_id])


async def guest_of(db: Db, machine_id: int) -> tuple[str, str] | None:
    """The hypervisor's id and name of the machine's guest, as last seen."""
    row = await db.fetchrow(_GUEST_OF, machine_id)
    return None if row is None else (row["guest_key"], row["name"])
