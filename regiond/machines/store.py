"""The rows of machines, their disks and cards, and of what was given up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import asyncpg

from common.errors import NotFound
from regiond.groups.model import ResourcePool, Zone
from regiond.machines import nic_store
from regiond.machines.life import MachineState
from regiond.machines.model import DiskView, MachineFilter, MachineView, NicView

if TYPE_CHECKING:
    from regiond.db.pool import Db

_FIELDS = """
    select m.id, m.uuid, m.system_id, m.hostname, m.state, m.power_state, m.architecture, m.cores, m.memory_mib,
           m.adopted, m.tags, m.description, m.host_id, m.created_at, m.agent_name, m.owner_data,
           m.composed_by_allocate, m.error_description, a.username as owner, h.name as host_name,
           h.system_id as host_system_id, h.driver, g.id as guest_id, z.id as zone_id, z.name as zone_name,
           z.description as zone_description, p.id as pool_id, p.name as pool_name,
           p.description as pool_description
"""
_OF_OTHERS = """
      join zone z on z.id = m.zone_id
      join resource_pool p on p.id = m.pool_id
      left join vm_host h on h.id = m.host_id
      left join account a on a.id = m.owner_id
      left join guest g on g.machine_id = m.id
"""
_SELECT = _FIELDS + " from machine m " + _OF_OTHERS

_WANTED = """
     where ($1::text[] = '{}' or m.system_id = any($1))
       and ($2::text[] = '{}' or m.hostname = any($2))
       and ($3::text[] = '{}' or exists (
            select 1 from machine_nic n where n.machine_id = m.id and n.mac_address = any($3)))
       and ($4::text[] = '{}' or m.zone_id in (select id from zone where name = any($4)))
       and ($5::text[] = '{}' or m.pool_id in (select id from resource_pool where name = any($5)))
       and ($6::text[] = '{}' or m.host_id in (select id from vm_host where name = any($6)))
       and ($7::text[] = '{}' or m.agent_name = any($7))
       and ($8::text[] = '{}' or m.owner_id in (select id from account where username = any($8)))
       and ($9::text[] = '{}' or m.state = any($9))
       and m.tags @> $10::text[]
"""
_LIST = _SELECT + _WANTED + " order by m.id"
_NEXT = _WANTED + " and ($11::text is null or m.hostname > $11)"
_PAGE = f"""
    with page as (select m.* from machine m {_NEXT} order by m.hostname limit $12)
    {_FIELDS} from page m {_OF_OTHERS} order by m.hostname
"""  # noqa: S608  # our own texts
# By index, host after host: in the order of all hostnames, every machine there is may come before a page of theirs.
_PAGE_OF_HOSTS = f"""
    with page as (
        select m.* from vm_host asked
         cross join lateral (
               select m.* from machine m {_NEXT} and m.host_id = asked.id order by m.hostname limit $12) m
         where asked.name = any($6) order by m.hostname limit $12)
    {_FIELDS} from page m {_OF_OTHERS} order by m.hostname
"""  # noqa: S608
_BY_HOST = _SELECT + " where m.host_id = $1 order by m.id"

_DISKS = """
    select d.id, d.machine_id, d.index, d.volume, s.name as storage_pool_name, s.pool_key as storage_pool_key,
           d.size_bytes, d.serial, d.tags
      from machine_disk d join storage_pool s on s.id = d.storage_pool_id
     where d.machine_id = any($1::integer[]) order by d.machine_id, d.index
"""

_NIC_IDS = "select id from machine_nic where machine_id = $1 order by index"
_TAKEN_HOSTNAMES = "select hostname from machine where hostname = any($1::text[])"
_POWER = "update machine set power_state = $2, settled_at = clock_timestamp() where id = $1"
_DELETE_GUEST = "delete from guest where machine_id = $1"
_DELETE = "delete from machine where id = $1"
# What an operation does is settled by its end, and told by events as well, some of them late: the look that every event
# asks for then says what is true.
_GUEST_POWER = """
    update machine m set power_state = $4, settled_at = clock_timestamp()
      from vm_host h
     where h.id = $1 and m.host_id = h.id and (m.uuid::text = $2 or m.hostname = $3) and m.power_state <> $4
       and m.settled_at < clock_timestamp() - interval '10 seconds'
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
    asked = (
        list(wanted.system_ids),
        [name.lower() for name in wanted.hostnames],
        [mac.lower() for mac in wanted.mac_addresses],
        list(wanted.zones),
        list(wanted.pools),
        list(wanted.hosts),
        list(wanted.agent_names),
        list(wanted.owners),
        [state.value for state in wanted.states],
        list(wanted.tags),
    )
    if wanted.limit is None:
        return await _with_parts(db, await db.fetch(_LIST, *asked))
    page = _PAGE_OF_HOSTS if wanted.hosts else _PAGE
    return await _with_parts(db, await db.fetch(page, *asked, wanted.after, wanted.limit))


async def of_host(db: Db, host_id: int) -> tuple[MachineView, ...]:
    return await _with_parts(db, await db.fetch(_BY_HOST, host_id))


async def read(db: Db, system_id: str) -> MachineView:
    found = await list_machines(db, MachineFilter(system_ids=(system_id,)))
    if not found:
        raise NotFound("No Machine matches the given query.", system_id=system_id)
    return found[0]


async def taken_hostnames(db: Db, hostnames: Iterable[str]) -> frozenset[str]:
    """Those of `hostnames` that a machine has."""
    return frozenset(row["hostname"] for row in await db.fetch(_TAKEN_HOSTNAMES, list(hostnames)))


async def nic_ids(db: Db, machine_id: int) -> tuple[int, ...]:
    """Row ids of its cards, in their order."""
    return tuple(row["id"] for row in await db.fetch(_NIC_IDS, machine_id))


async def set_power(db: Db, machine_id: int, power_state: str) -> None:
    await db.execute(_POWER, machine_id, power_state)


async def guest_power_changed(db: Db, host_id: int, guest_id: str, name: str, power_state: str) -> str | None:
    """An event of the hypervisor; the machine's system id when that was news and no operation acts on it."""
    system_id: str | None = await db.fetchval(_GUEST_POWER, host_id, guest_id, name, power_state)
    return system_id


async def delete(db: Db, machine_id: int) -> None:
    """The row and what hangs on it. Its claims have ended before."""
    await db.execute(_DELETE_GUEST, machine_id)
    await db.execute(_DELETE, machine_id)


async def _with_parts(db: Db, rows: Sequence[asyncpg.Record]) -> tuple[MachineView, ...]:
    ids = [row["id"] for row in rows]
    disks = defaultdict(list)
    for row in await db.fetch(_DISKS, ids) if ids else ():
        fields = {name: value for name, value in row.items() if name != "machine_id"}
        disks[row["machine_id"]].append(DiskView(**{**fields, "tags": tuple(row["tags"])}))
    nics = await nic_store.of_machines(db, ids)
    return tuple(_machine(row, disks[row["id"]], nics.get(row["id"], ())) for row in rows)


def _machine(row: asyncpg.Record, disks: list[DiskView], nics: tuple[NicView, ...]) -> MachineView:
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
        nics=nics,
        created_at=row["created_at"],
        adopted=row["adopted"],
        agent_name=row["agent_name"],
        owner_data=row["owner_data"],
        composed_by_allocate=row["composed_by_allocate"],
        error_description=row["error_description"],
    )
