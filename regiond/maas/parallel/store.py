"""SQL of watched imports, their hosts, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from attrs import frozen

from common.serialization import to_dict
from regiond.db.pool import Db, of_row
from regiond.maas.access import MaasAddress
from regiond.maas.parallel.comparison import SeenVm
from regiond.maas.parallel.model import Difference, DifferenceKind, Found, Presence, WatchedHost

_WATCHED = """
    select w.host_id, h.name as host_name, w.import_id, w.source_id, w.taken_at,
           w.in_maas, w.machines_in_maas
      from maas_watched_host w join vm_host h on h.id = w.host_id
"""
_OF_HOST = _WATCHED + " where w.host_id = $1"
_LOCK_HOST = _WATCHED + " where w.host_id = $1 for update of w"
_OF_IMPORT = _WATCHED + " where w.import_id = $1 order by h.name"
_GIVE_BACK = "update maas_watched_host set taken_at = null where host_id = $1"
_DUE = """
    select id from maas_import
     where watched and asked_at < clock_timestamp() - make_interval(secs => $1) order by asked_at, id
"""
# Of several regions, the one whose update changes the row asks that MAAS.
_CLAIM = """
    update maas_import set asked_at = clock_timestamp()
     where id = $1 and watched and asked_at < clock_timestamp() - make_interval(secs => $2)
    returning id
"""
_ACCESS = "select url, sealed_key, ca, fingerprint from maas_import where id = $1 and watched"
_RECORD_READ = "update maas_import set read_at = $2, problem = '', problem_since = null where id = $1"
# One in the future is of before the clock was set back: it does not prevent readings until then.
_IS_READ_SINCE = "select read_at >= $2 and read_at <= clock_timestamp() from maas_import where id = $1"
_RECORD_PROBLEM = """
    update maas_import set problem = $2, problem_since = coalesce(problem_since, clock_timestamp())
     where id = $1 and not (read_at >= $3 and read_at <= clock_timestamp())
"""
# A host of LXD sees the guests of its project; other drivers have no projects.
_VMS = """
    select h.id as host_id, g.name, g.guest_key, g.power_state, g.cores, g.memory_mib,
           g.pinned_core_ids as pinned_cores, g.huge_pages_backed as huge_pages,
           array(select lower(nic->>'mac_address') from jsonb_array_elements(g.nics) as nic
                  where coalesce(nic->>'mac_address', '') <> '') as mac_addresses
      from vm_host h join guest g on g.server_id = h.server_id and (h.driver <> 'lxd' or g.project = h.project)
     where h.id = any($1::integer[]) and g.kind = 'vm'
     order by h.id, g.name
"""
_WRITE = """
    insert into maas_difference (host_id, vm, kind, import_id, in_maas, here)
    select host_id, vm, kind, $1, in_maas, here
      from jsonb_to_recordset($2) as found(host_id integer, vm text, kind text, in_maas text, here text)
        on conflict (host_id, vm, kind) do update set in_maas = excluded.in_maas, here = excluded.here
"""
_DELETE_OTHERS = """
    delete from maas_difference d
     where d.import_id = $1 and not exists (
        select from jsonb_to_recordset($2) as found(host_id integer, vm text, kind text)
         where found.host_id = d.host_id and found.vm = d.vm and found.kind = d.kind)
"""
_SET_IN_MAAS = """
    update maas_watched_host w set in_maas = found.in_maas, machines_in_maas = found.machines_in_maas
      from jsonb_to_recordset($2) as found(source_id text, in_maas boolean, machines_in_maas integer)
     where w.import_id = $1 and w.source_id = found.source_id
       and (w.in_maas, w.machines_in_maas) is distinct from (found.in_maas, found.machines_in_maas)
"""
_IMPORTED = """
    select m.host_id, m.system_id, coalesce(g.name, m.hostname) as vm
      from machine m left join guest g on g.machine_id = m.id
     where m.imported and m.host_id = any($1::integer[])
"""
_SET_MORE = "update maas_import set more_differences = $2 where id = $1"
_MORE = "select more_differences from maas_import where id = $1"
_DIFFERENCES = """
    select d.host_id, h.name as host_name, d.vm, d.kind, d.in_maas, d.here, d.since
      from maas_difference d join vm_host h on h.id = d.host_id
     where d.import_id = $1 and ($2::integer is null or d.host_id = $2)
     order by h.name, d.vm, d.kind
"""
# Operations are deleted when they are old, in the order of their age: with the adoption, all later ones are here.
_MACHINES = """
    select m.system_id, m.hostname, m.imported, adopted.id is not null as is_recorded,
           (select o.kind || ' (operation ' || o.id || ')' from operation o
             where o.machine_id = m.id and o.kind not in ('adopt', 'forget')
               and (o.state = 'succeeded' or o.reached_host or o.is_open)
             order by o.id limit 1) as change,
           (select o.id from operation o where o.machine_id = m.id and o.kind = 'forget' and o.is_open) as forget_id
      from machine m
      left join lateral (select id from operation where machine_id = m.id and kind = 'adopt' order by id desc limit 1)
                adopted on true
     where m.host_id = $1
     order by m.hostname
"""
_FORGETS = "select id from operation where host_id = $1 and kind = 'forget' and is_open order by id limit 1"


@frozen(kw_only=True)
class SealedAccess(MaasAddress):
    """The address of a watched MAAS, with its key as it is stored."""

    sealed_key: bytes


@frozen(kw_only=True)
class TakenMachine:
    """A machine of a host that may be given back. `change` is the first operation that changed something since."""

    system_id: str
    hostname: str
    imported: bool
    is_recorded: bool
    change: str | None
    forget_id: int | None


async def watched_host(db: Db, host_id: int, *, lock: bool = False) -> WatchedHost | None:
    row = await db.fetchrow(_LOCK_HOST if lock else _OF_HOST, host_id)
    return None if row is None else of_row(WatchedHost, row)


async def watched_hosts(db: Db, import_id: int) -> tuple[WatchedHost, ...]:
    """Returns the hosts of the import, by name."""
    return tuple(of_row(WatchedHost, row) for row in await db.fetch(_OF_IMPORT, import_id))


async def give_back(db: Db, host_id: int) -> None:
    await db.execute(_GIVE_BACK, host_id)


async def due(db: Db, every_s: float) -> tuple[int, ...]:
    """Returns the watched imports that were not asked for so long, the longest first."""
    return tuple(row["id"] for row in await db.fetch(_DUE, every_s))


async def claim(db: Db, import_id: int, every_s: float) -> bool:
    """Returns whether the caller asks that MAAS now; False if another region has just done it."""
    return await db.fetchval(_CLAIM, import_id, every_s) is not None


async def access(db: Db, import_id: int) -> SealedAccess | None:
    row = await db.fetchrow(_ACCESS, import_id)
    return None if row is None else of_row(SealedAccess, row)


async def is_read_since(db: Db, import_id: int, began: datetime) -> bool:
    """Whether the stored inventory is of a reading that began then or later."""
    return bool(await db.fetchval(_IS_READ_SINCE, import_id, began))


async def record_read(db: Db, import_id: int, began: datetime) -> None:
    """Records that the inventory is of a reading that began then: what it says may be as old as that."""
    await db.execute(_RECORD_READ, import_id, began)


async def record_problem(db: Db, import_id: int, problem: str, began: datetime) -> None:
    """Records why a reading that began then has failed, unless a later one has succeeded."""
    await db.execute(_RECORD_PROBLEM, import_id, problem, began)


async def vms(db: Db, host_ids: Sequence[int]) -> Mapping[int, tuple[SeenVm, ...]]:
    """Returns the VMs of these hosts as they were reported last, machines of ours included."""
    found: dict[int, list[SeenVm]] = {one: [] for one in host_ids}
    for row in await db.fetch(_VMS, list(host_ids)):
        plain = dict(row)
        host_id = plain.pop("host_id")
        sets = {name: frozenset(plain[name]) for name in ("mac_addresses", "pinned_cores")}
        found[host_id].append(SeenVm(**{**plain, **sets}))
    return {host_id: tuple(one) for host_id, one in found.items()}


async def write_differences(db: Db, import_id: int, found: Sequence[Found], more: int) -> None:
    """Replaces the differences of the import; those that it had keep the time since when they are there."""
    plain = [to_dict(one) for one in found]
    await db.execute(_DELETE_OTHERS, import_id, plain)
    await db.execute(_WRITE, import_id, plain)
    await db.execute(_SET_MORE, import_id, more)


async def write_in_maas(db: Db, import_id: int, found: Iterable[Presence]) -> None:
    await db.execute(_SET_IN_MAAS, import_id, [to_dict(one) for one in found])


async def imported_machines(db: Db, host_ids: Sequence[int]) -> Mapping[int, Mapping[str, str]]:
    """Returns the VM of each machine that came from MAAS, by host id and system id."""
    found: dict[int, dict[str, str]] = {}
    for row in await db.fetch(_IMPORTED, list(host_ids)):
        found.setdefault(row["host_id"], {})[row["system_id"]] = row["vm"]
    return found


async def differences(db: Db, import_id: int, host_id: int | None = None) -> tuple[Difference, ...]:
    """Returns the differences of the import, or of one of its hosts, by host, VM and kind."""
    rows = await db.fetch(_DIFFERENCES, import_id, host_id)
    return tuple(Difference(**{**dict(row), "kind": DifferenceKind(row["kind"])}) for row in rows)


async def more_differences(db: Db, import_id: int) -> int:
    """Returns how many differences of the import are not stored."""
    return int(await db.fetchval(_MORE, import_id) or 0)


async def machines(db: Db, host_id: int) -> tuple[TakenMachine, ...]:
    """Returns the machines of the host, by hostname."""
    return tuple(of_row(TakenMachine, row) for row in await db.fetch(_MACHINES, host_id))


async def open_forget_of(db: Db, host_id: int) -> int | None:
    """Returns the first operation that forgets a machine of the host."""
    found: int | None = await db.fetchval(_FORGETS, host_id)
    return found


async def now(db: Db) -> datetime:
    """Returns the time by the clock that `read_at` is from."""
    found: datetime = await db.fetchval("select clock_timestamp()")
    return found
