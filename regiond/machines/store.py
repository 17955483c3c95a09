"""The rows of machines, their disks and cards, and of what was given up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from common.errors import InvalidRequest, NotFound
from common.values import GuestSpec
from regiond.groups.model import ResourcePool, Zone
from regiond.machines.model import DiskView, MachineFilter, MachineState, MachineView, NicView

if TYPE_CHECKING:
    from regiond.db.pool import Db

_SELECT = """
    select m.id, m.uuid, m.system_id, m.hostname, m.state, m.power_state, m.architecture, m.cores, m.memory_mib,
           m.adopted, m.tags, m.description, m.host_id, m.created_at, a.username as owner, h.name as host_name,
           h.system_id as host_system_id, h.driver, g.id as guest_id, z.id as zone_id, z.name as zone_name,
           z.description as zone_description, p.id as pool_id, p.name as pool_name,
           p.description as pool_description
      from machine m
      join zone z on z.id = m.zone_id
      join resource_pool p on p.id = m.pool_id
      left join vm_host h on h.id = m.host_id
      left join account a on a.id = m.owner_id
      left join guest g on g.machine_id = m.id
"""

_WANTED = """
     where ($1::text[] = '{}' or m.system_id = any($1))
       and ($2::text[] = '{}' or m.hostname = any($2))
       and ($3::text[] = '{}' or exists (
            select 1 from machine_nic n where n.machine_id = m.id and n.mac_address = any($3)))
       and ($4::text[] = '{}' or z.name = any($4))
       and ($5::text[] = '{}' or p.name = any($5))
       and ($6::text[] = '{}' or h.name = any($6))
     order by m.id
"""
_LIST = _SELECT + _WANTED
_BY_HOST = _SELECT + " where m.host_id = $1 order by m.id"

_DISKS = """
    select d.id, d.machine_id, d.index, d.volume, s.name as storage_pool_name, s.pool_key as storage_pool_key,
           d.size_bytes, d.serial, d.tags
      from machine_disk d join storage_pool s on s.id = d.storage_pool_id
     where d.machine_id = any($1::integer[]) order by d.machine_id, d.index
"""
_NICS = """
    select id, machine_id, index, name, mac_address, kind, source from machine_nic
     where machine_id = any($1::integer[]) order by machine_id, index
"""

_INSERT = """
    with made as (
        insert into machine (uuid, system_id, hostname, host_id, pool_id, zone_id, state, architecture, cores,
                             memory_mib, tags, description)
        values ($1, $2, $3, $4, $5, $6, 'composing', $7, $8, $9, $10, $11)
        returning id
    ), disks as (
        insert into machine_disk (machine_id, index, volume, storage_pool_id, size_bytes, serial, tags)
        select made.id, d.*
          from made, jsonb_to_recordset($12::jsonb) d (index integer, volume text, storage_pool_id integer,
                                                       size_bytes bigint, serial text, tags text[])
    ), nics as (
        insert into machine_nic (machine_id, index, name, mac_address, kind, source)
        select made.id, n.*
          from made, jsonb_to_recordset($13::jsonb) n (index integer, name text, mac_address text, kind text,
                                                       source text)
    )
    select id from made
"""
_HOSTNAME_TAKEN = "select 1 from machine where hostname = $1"
_STATE = "update machine set state = $2, settled_at = clock_timestamp() where id = $1"
_POWER = "update machine set power_state = $2, settled_at = clock_timestamp() where id = $1"
_TOMBSTONE = """
    insert into tombstone (machine_uuid, hostname, host_name, reason) values ($1, $2, $3, $4)
    on conflict (machine_uuid) do update set reason = excluded.reason, given_up_at = clock_timestamp()
"""
_DELETE_GUEST = "delete from guest where machine_id = $1"
_DELETE = "delete from machine where id = $1"
_GUEST_POWER = """
    update machine m set power_state = $4, settled_at = clock_timestamp()
      from vm_host h
     where h.id = $1 and m.host_id = h.id and (m.uuid::text = $2 or m.hostname = $3) and m.power_state <> $4
       and not exists (select 1 from operation o
                        where o.machine_id = m.id and o.state in ('queued', 'running', 'waiting', 'undoing'))
    returning m.system_id
"""


class Taken(Exception):
    """One of a new machine's own choices is in use already: they are chosen again, in a new transaction."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


async def list_machines(db: Db, wanted: MachineFilter) -> tuple[MachineView, ...]:
    rows = await db.fetch(
        _LIST,
        list(wanted.system_ids),
        [name.lower() for name in wanted.hostnames],
        [mac.lower() for mac in wanted.mac_addresses],
        list(wanted.zones),
        list(wanted.pools),
        list(wanted.hosts),
    )
    return await _with_parts(db, rows)


async def of_host(db: Db, host_id: int) -> tuple[MachineView, ...]:
    return await _with_parts(db, await db.fetch(_BY_HOST, host_id))


async def read(db: Db, system_id: str) -> MachineView:
    found = await list_machines(db, MachineFilter(system_ids=(system_id,)))
    if not found:
        raise NotFound("No Machine matches the given query.", system_id=system_id)
    return found[0]


async def hostname_taken(db: Db, hostname: str) -> bool:
    return await db.fetchval(_HOSTNAME_TAKEN, hostname) is not None


async def insert(
    db: Db,
    spec: GuestSpec,
    *,
    system_id: str,
    host_id: int,
    pool_id: int,
    zone_id: int,
    tags: Sequence[str],
    storage_pool_ids: Sequence[int],
) -> int:
    """The id of the machine's row, with its disks and cards.

    Raises Taken, and InvalidRequest when host, zone or pool went; the caller's transaction must then roll back.
    """
    disks = [
        {"index": index, "volume": disk.volume, "storage_pool_id": pool, "size_bytes": disk.size_bytes,
         "serial": disk.serial, "tags": list(disk.tags)}
        for index, (disk, pool) in enumerate(zip(spec.disks, storage_pool_ids, strict=True))
    ]  # fmt: skip
    nics = [
        {"index": index, "name": nic.name, "mac_address": nic.mac_address, "kind": nic.kind.value, "source": nic.source}
        for index, nic in enumerate(spec.nics)
    ]
    try:
        machine_id: int = await db.fetchval(
            _INSERT, spec.mark.machine_id, system_id, spec.name, host_id, pool_id, zone_id, spec.architecture,
            spec.cores, spec.memory_mib, list(tags), spec.description, disks, nics,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise Taken(error.constraint_name or "") from error
    except asyncpg.ForeignKeyViolationError as error:
        raise InvalidRequest(f"The host, zone or pool has just been removed: {error.detail}") from error
    return machine_id


async def set_state(db: Db, machine_id: int, state: MachineState) -> None:
    await db.execute(_STATE, machine_id, state.value)


async def set_power(db: Db, machine_id: int, power_state: str) -> None:
    await db.execute(_POWER, machine_id, power_state)


async def guest_power_changed(db: Db, host_id: int, guest_id: str, name: str, power_state: str) -> str | None:
    """An event of the hypervisor; the machine's system id when that was news and no operation acts on it."""
    system_id: str | None = await db.fetchval(_GUEST_POWER, host_id, guest_id, name, power_state)
    return system_id


async def bury(db: Db, machine: UUID, hostname: str, host_name: str, reason: str) -> None:
    """Remember that we gave it up: what carries its mark later is ours to remove."""
    await db.execute(_TOMBSTONE, machine, hostname, host_name, reason)


async def delete(db: Db, machine_id: int) -> None:
    """The row and what hangs on it. Its claims have ended before."""
    await db.execute(_DELETE_GUEST, machine_id)
    await db.execute(_DELETE, machine_id)


async def _with_parts(db: Db, rows: Sequence[asyncpg.Record]) -> tuple[MachineView, ...]:
    ids = [row["id"] for row in rows]
    disks, nics = defaultdict(list), defaultdict(list)
    for row in await db.fetch(_DISKS, ids) if ids else ():
        fields = {name: value for name, value in row.items() if name != "machine_id"}
        disks[row["machine_id"]].append(DiskView(**{**fields, "tags": tuple(row["tags"])}))
    for row in await db.fetch(_NICS, ids) if ids else ():
        nics[row["machine_id"]].append(NicView(**{name: v for name, v in row.items() if name != "machine_id"}))
    return tuple(_machine(row, disks[row["id"]], nics[row["id"]]) for row in rows)


def _machine(row: asyncpg.Record, disks: list[DiskView], nics: list[NicView]) -> MachineView:
    return MachineView(
        id=row["id"],
        uuid=row["uuid"],
        system_id=row["system_id"],
        hostname=row["hostname"],
        state=MachineState(row["state"]),
        power_state=row["power_state"],
        architecture=row["architecture"],
        cores=row["cores"],
        memory_mib=row["memory_mib"],
        tags=tuple(row["tags"]),
        pool=ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"]),
        zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
        owner=row["owner"],
        description=row["description"],
        host_id=row["host_id"],
        host_name=row["host_name"],
        host_system_id=row["host_system_id"],
        driver=row["driver"],
        guest_id=row["guest_id"],
        disks=tuple(disks),
        nics=tuple(nics),
        created_at=row["created_at"],
        adopted=row["adopted"],
    )
