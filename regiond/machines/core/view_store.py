"""Reads machines as the API shows them: with their disks, NICs and affinity groups."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from common.boot import known_devices
from common.errors import NotFound
from common.guest_facts import SETTINGS
from common.values import Autostart
from regiond.db.pool import Db, of_row
from regiond.groups.model import ResourcePool, Zone
from regiond.hosts.guest_record import settings_of_row
from regiond.machines.core import criteria_store, nic_store
from regiond.machines.core.affinity import store as affinity_store
from regiond.machines.core.criteria_store import AT_LIMIT
from regiond.machines.values.boot import BootView
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import AffinityMembership, MachineView
from regiond.machines.values.nics import NicView
from regiond.machines.values.power import WantedPower
from regiond.machines.values.search import MachineFilter, PageOfIds
from regiond.machines.values.states import MachineState
from regiond.requests.caller import Caller, seen_by

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
# `owner_data` can have 64 KiB for each machine: queries for callers that neither show nor change it leave it out.
_WITHOUT_OWNER_DATA = f"""
    select m.id, m.uuid, m.system_id, m.hostname, m.state, m.power_state, m.architecture, m.cores, m.memory_mib,
           m.adopted, m.as_found, m.imported, m.is_stock, m.generation, g.generation as generation_on_host,
           m.unproven_since, m.autostart,
           coalesce(m.autostart, case when not m.adopted and not m.imported then
                                   coalesce(h.autostart, (select autostart from installation)) end)
             as autostart_in_effect, m.tags, m.description, m.host_id, m.created_at, m.agent_name,
           m.composed_by_allocate, m.error_description, m.locked, m.failed_host_id, m.power_changed_at,
           m.wanted_power as wanted_word, m.wanted_power_at, m.wanted_power_by, m.wanted_power_user,
           case when m.host_id is not null and h.state = 'unreachable' then h.state_since end as host_away_since,
           m.pending_cores, m.pending_memory_mib, m.size_refused, m.size_refused_at, m.max_cores, m.max_memory_mib,
           coalesce((select u.limits {AT_LIMIT}), '{{}}') as at_limit,
           m.boot_once, m.boot_once_key, g.boot_order, g.pending_boot_order,
           g.iso, (select name from image where sha256 = g.iso order by id limit 1) as iso_name, g.next_iso,
           {", ".join(f"g.{name} as guest_{name}" for name in SETTINGS)},
           (select name from image where sha256 = g.next_iso order by id limit 1) as next_iso_name,
           a.username as owner, c.username as composed_by, h.name as host_name,
           h.system_id as host_system_id, h.driver,
           coalesce((select product from server where id = h.server_id), '') as product,
           g.id as guest_id, g.name as guest_name, z.id as zone_id,
           z.name as zone_name, z.description as zone_description, p.id as pool_id, p.name as pool_name,
           p.description as pool_description, coalesce(d.osystem, '') as osystem,
           coalesce(d.distro_series, '') as distro_series,
           (select name from maas_server where id = r.server_id) as maas_server, r.maas_system_id
"""  # noqa: S608  # our own text
_FIELDS = _WITHOUT_OWNER_DATA + ", m.owner_data, m.workload_annotations"
_JOINS = """
      join zone z on z.id = m.zone_id
      join resource_pool p on p.id = m.pool_id
      left join vm_host h on h.id = coalesce(m.host_id, m.failed_host_id)
      left join account a on a.id = m.owner_id
      left join account c on c.id = m.composed_by_id
      left join guest g on g.machine_id = m.id
      left join deployment d on d.machine_id = m.id
      left join maas_registration r on r.machine_id = m.id
"""
_SELECT = _FIELDS + " from machine m " + _JOINS

_MATCHES = """
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
       and ($10::text[] = '{}' or m.tags @> $10)
       and ($11::integer[] is null or m.pool_id = any($11) or m.owner_id = $12
            or (m.owner_id is null and m.composed_by_id = $12))
       and ($13::text[] = '{}' or not m.tags && $13)
"""
_LIST = _SELECT + _MATCHES + " order by m.id"
_IDS = f"select array(select m.id from machine m {_MATCHES} order by m.id)"  # noqa: S608  # our own texts
_SYSTEM_IDS = f"select array(select m.system_id from machine m {_MATCHES} order by m.id)"  # noqa: S608
_NEXT = _MATCHES + " and ($14::text is null or m.hostname > $14)"
_ON_PAGE = f"select m.id, m.hostname from machine m {_NEXT} order by m.hostname limit $15 + 1"  # noqa: S608
# One index scan for each host: a single scan by hostname could read all other machines before it fills the page.
_ON_PAGE_OF_HOSTS = f"""
    select m.id, m.hostname from vm_host wanted
     cross join lateral (
           select m.id, m.hostname from machine m {_NEXT} and m.host_id = wanted.id
            order by m.hostname limit $15 + 1) m
     where wanted.name = any($6) order by m.hostname limit $15 + 1
"""  # noqa: S608
_OF_PAGE = f"""
    select (select count(*) from machine m {_MATCHES}) as total, array(select id from page order by hostname) as ids,
           (select hostname from page order by hostname offset $15 - 1 limit 1) as last
"""  # noqa: S608
_PAGES: Mapping[bool, str] = {  # of hosts, or of all
    True: f"with page as ({_ON_PAGE_OF_HOSTS}) {_OF_PAGE}",
    False: f"with page as ({_ON_PAGE}) {_OF_PAGE}",
}
_HOSTNAME_OF_LAST = """
    select hostname from machine where id = any($1::integer[]) order by array_position($1, id) desc limit 1
"""
_OF_IDS = f"""
      from unnest($1::integer[]) with ordinality wanted (id, position)
      join machine m on m.id = wanted.id {_JOINS} order by wanted.position
"""
_BY_IDS = _FIELDS + _OF_IDS
_BY_IDS_WITHOUT_OWNER_DATA = _WITHOUT_OWNER_DATA + _OF_IDS
_BY_HOST = (
    _WITHOUT_OWNER_DATA
    + " from machine m "
    + _JOINS
    + """
     where m.host_id = $1
       and ($2::integer[] is null or m.pool_id = any($2) or m.owner_id = $3
            or (m.owner_id is null and m.composed_by_id = $3))
     order by m.id
"""
)

_DISKS = """
    select d.id, d.machine_id, d.index, d.volume, s.name as storage_pool_name, s.pool_key as storage_pool_key,
           d.size_bytes, d.pending_size_bytes, d.serial, d.tags, d.label, d.root_volume, d.origin,
           d.id = first_value(d.id) over (partition by d.machine_id order by d.boots desc, d.index) as boots,
           coalesce(g.disks @> jsonb_build_array(jsonb_build_object('volume', d.volume, 'missing', true)), false)
               as missing,
           coalesce(not g.disks @> jsonb_build_array(jsonb_build_object(
               'device', d.volume, 'pool_id', s.pool_key, 'volume', null)), true) as is_volume
      from machine_disk d join storage_pool s on s.id = d.storage_pool_id
      left join guest g on g.machine_id = d.machine_id
     where d.machine_id = any($1::integer[]) order by d.machine_id, d.index
"""

_PLACES = """
    select m.host_id, d.ids, d.pools, d.volumes
      from machine m
     cross join lateral (
           select coalesce(array_agg(d.id order by d.id), '{}') as ids,
                  coalesce(array_agg(s.pool_key order by d.id), '{}') as pools,
                  coalesce(array_agg(d.volume order by d.id), '{}') as volumes
             from machine_disk d join storage_pool s on s.id = d.storage_pool_id
            where d.machine_id = m.id) d
     where m.id = $1
"""


async def list_machines(db: Db, wanted: MachineFilter, *, caller: Caller | None = None) -> tuple[MachineView, ...]:
    """Returns the machines that the caller may see (no caller: all) ordered by id; with a limit, by hostname.

    Use it for a few machines, and `machine_ids` for long lists.
    """
    if wanted.limit is not None:
        return await read_all(db, (await page_of(db, wanted, limit=wanted.limit, caller=caller)).ids, caller=caller)
    narrowed = await criteria_store.narrowed(db, wanted)
    rows = [] if narrowed is None else await db.fetch(_LIST, *_arguments(narrowed, caller))
    return await _with_devices(db, rows, caller)


async def machine_ids(db: Db, wanted: MachineFilter, *, caller: Caller | None = None) -> list[int]:
    """Returns the row ids of the machines that the caller may see, ascending; ignores the limit of `wanted`."""
    narrowed = await criteria_store.narrowed(db, wanted)
    found: list[int] = [] if narrowed is None else await db.fetchval(_IDS, *_arguments(narrowed, caller))
    return found


async def page_of(db: Db, wanted: MachineFilter, *, limit: int, caller: Caller | None = None) -> PageOfIds:
    """Returns the first machines after `wanted.after`, by hostname, that the caller may see, in one query."""
    narrowed = await criteria_store.narrowed(db, wanted)
    if narrowed is None:
        return PageOfIds(ids=(), total=0)
    (row,) = await db.fetch(_PAGES[bool(wanted.hosts)], *_arguments(narrowed, caller), wanted.after, limit)
    return PageOfIds(
        ids=row["ids"][:limit], total=row["total"], next_after=row["last"] if len(row["ids"]) > limit else None
    )


async def hostname_of_last(db: Db, ids: Sequence[int]) -> str:
    """Returns the hostname of the last of these machines that still exists; empty if none does."""
    found: str | None = await db.fetchval(_HOSTNAME_OF_LAST, ids)
    return found or ""


async def is_where_it_was(db: Db, machine: MachineView) -> bool:
    """Returns whether the machine is on the host, with the disks in the places, that this view of it has."""
    host_id, *places = await db.fetchrow(_PLACES, machine.id) or (None, [], [], [])
    disks = sorted((disk.id, disk.storage_pool_key, disk.volume) for disk in machine.disks)
    return (host_id, list(zip(*places, strict=True))) == (machine.host_id, disks)


async def read_several(db: Db, system_ids: Sequence[str]) -> tuple[MachineView, ...]:
    """Returns these machines. Raises NotFound that names the unknown machines."""
    found = await list_machines(db, MachineFilter(system_ids=tuple(system_ids))) if system_ids else ()
    unknown = set(system_ids) - {machine.system_id for machine in found}
    if unknown:
        raise NotFound(f"Unknown machine(s): {', '.join(sorted(unknown))}.")
    return found


async def system_ids(db: Db, wanted: MachineFilter, *, caller: Caller | None = None) -> list[str]:
    """Returns the system ids of the machines that the caller may see; ignores the limit of `wanted`."""
    narrowed = await criteria_store.narrowed(db, wanted)
    found: list[str] = [] if narrowed is None else await db.fetchval(_SYSTEM_IDS, *_arguments(narrowed, caller))
    return found


async def read_all(
    db: Db, ids: Sequence[int], *, caller: Caller | None = None, owner_data: bool = True
) -> tuple[MachineView, ...]:
    """Returns the machines with these row ids that exist, in their order; their owner data only on request."""
    rows = await db.fetch(_BY_IDS if owner_data else _BY_IDS_WITHOUT_OWNER_DATA, ids)
    return await _with_devices(db, rows, caller)


def _arguments(wanted: MachineFilter, caller: Caller | None) -> tuple[Any, ...]:
    """Returns the first thirteen parameters of the statements with `_MATCHES`."""
    return (
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
        *seen_by(caller),
        list(wanted.not_tags),
    )


async def of_host(db: Db, host_id: int, *, caller: Caller | None = None) -> tuple[MachineView, ...]:
    """Returns the machines of the host that the caller may see, by id, without their owner data."""
    rows = await db.fetch(_BY_HOST, host_id, *seen_by(caller))
    return await _with_devices(db, rows, caller)


async def read(db: Db, system_id: str, *, caller: Caller | None = None) -> MachineView:
    """Returns the machine. Raises NotFound, also for a machine that the caller may not see."""
    found = await list_machines(db, MachineFilter(system_ids=(system_id,)), caller=caller)
    if not found:
        raise NotFound(f"There is no machine {system_id!r}.", system_id=system_id)
    return found[0]


async def _with_devices(db: Db, rows: Sequence[asyncpg.Record], caller: Caller | None) -> tuple[MachineView, ...]:
    ids = [row["id"] for row in rows]
    disks = defaultdict(list)
    for row in await db.fetch(_DISKS, ids) if ids else ():
        disks[row["machine_id"]].append(of_row(DiskView, row, tags=tuple(row["tags"])))
    nics = await nic_store.of_machines(db, ids)
    groups = await affinity_store.memberships_of(db, ids, caller=caller)
    return tuple(_machine(row, disks[row["id"]], nics.get(row["id"], ()), groups.get(row["id"], ())) for row in rows)


def _machine(
    row: asyncpg.Record,
    disks: list[DiskView],
    nics: tuple[NicView, ...],
    affinity_groups: tuple[AffinityMembership, ...],
) -> MachineView:
    return of_row(
        MachineView,
        row,
        state=MachineState(row["state"]),
        tags=tuple(row["tags"]),
        at_limit=tuple(row["at_limit"]),
        pool=ResourcePool(id=row["pool_id"], name=row["pool_name"], description=row["pool_description"]),
        zone=Zone(id=row["zone_id"], name=row["zone_name"], description=row["zone_description"]),
        disks=tuple(disks),
        nics=nics,
        autostart=_autostart(row["autostart"]),
        autostart_in_effect=_autostart(row["autostart_in_effect"]),
        owner_data=row.get("owner_data"),
        workload_annotations=row.get("workload_annotations"),
        affinity_groups=affinity_groups,
        wanted_power=_wanted_power(row),
        settings=settings_of_row(row, "guest_"),
        boot=BootView(
            order=None if row["boot_order"] is None else known_devices(row["boot_order"]),
            pending=known_devices(row["pending_boot_order"] or ()),
            once=known_devices(row["boot_once"]),
            once_key=row["boot_once_key"],
            iso=row["iso_name"] or _short(row["iso"] or ""),
            iso_sha256=row["iso"] if row["iso"] and _SHA256.fullmatch(row["iso"]) else "",
            next_iso=None if row["next_iso"] is None else row["next_iso_name"] or _short(row["next_iso"]),
        ),
        is_vm_host=False,
    )


def _wanted_power(row: asyncpg.Record) -> WantedPower | None:
    if row["wanted_word"] is None:
        return None
    return WantedPower(
        on=row["wanted_word"] == "on",
        since=row["wanted_power_at"],
        set_by=row["wanted_power_by"],
        user=row["wanted_power_user"],
    )


def _short(iso: str) -> str:
    """Returns the name of an image that is not in the catalogue any more, or never was."""
    return f"image {iso[:12]}" if _SHA256.fullmatch(iso) else iso


def _autostart(text: str | None) -> Autostart | None:
    return None if text is None else Autostart(text)
