"""SQL for one page of the machines: searched, filtered, sorted and counted in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from regiond.caller import Caller, seen_by
from regiond.db.pool import Db, Row
from regiond.machines import view_store
from regiond.machines.model import GroupCounts, MachineColumn, MachinePage, MachineSearch

_VISIBLE = """
      from machine m
     where $1::integer[] is null or m.pool_id = any($1) or m.owner_id = $2
           or (m.owner_id is null and m.composed_by_id = $2)
"""
_COUNT = "select count(*)" + _VISIBLE
_COUNT_BY_GROUP = "select m.pool_id, m.zone_id, count(*) as machines" + _VISIBLE + " group by 1, 2"
_ORDERS: Mapping[MachineColumn, str] = {
    MachineColumn.NAME: "m.hostname",
    MachineColumn.STATE: "m.state, m.power_state",
    MachineColumn.HOST: "h.name",
    MachineColumn.CORES: "m.cores",
    MachineColumn.MEMORY: "m.memory_mib",
    MachineColumn.POOL: "p.name",
    MachineColumn.OWNER: "a.username",
    MachineColumn.CREATED: "m.id",
}
_PAGE = """
    select m.id, count(*) over () as total
      from machine m
      join resource_pool p on p.id = m.pool_id
      join zone z on z.id = m.zone_id
      left join vm_host h on h.id = m.host_id
      left join account a on a.id = m.owner_id
     where ($1::integer[] is null or m.pool_id = any($1) or m.owner_id = $2
            or (m.owner_id is null and m.composed_by_id = $2))
       and ($3 = '' or m.hostname ilike $3 or m.system_id ilike $3 or h.name ilike $3 or a.username ilike $3
            or p.name ilike $3 or exists (select from unnest(m.tags) tag where tag ilike $3)
            or exists (select from machine_nic n where n.machine_id = m.id and n.mac_address ilike $3)
            or exists (select from ip_address i where i.machine_id = m.id and host(i.address) like $3)
            or exists (select from machine_nic n join seen_address s on s.nic_id = n.id
                        where n.machine_id = m.id and m.power_state in ('on', 'paused') and host(s.address) like $3))
       and ($4::text[] = '{}' or m.state = any($4))
       and ($5::text[] = '{}' or m.power_state = any($5))
       and ($6::integer[] = '{}' or m.host_id = any($6))
       and ($7::text[] = '{}' or p.name = any($7))
       and ($8::text[] = '{}' or z.name = any($8))
       and ($9::text[] = '{}' or a.username = any($9))
       and m.tags @> $10::text[]
"""
_STATEMENTS: Mapping[tuple[MachineColumn, bool], str] = {
    (column, descending): _PAGE
    + "     order by "
    + ", ".join(f"{each} {'desc' if descending else 'asc'} nulls last" for each in order.split(", "))
    + ", m.hostname, m.id limit $11 offset $12"
    for column, order in _ORDERS.items()
    for descending in (False, True)
}
_SPECIAL = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


async def count_by_group(db: Db, *, caller: Caller | None = None) -> GroupCounts:
    """Returns the numbers of machines that the caller may see, by the ids of their resource pools and zones."""
    pools: Counter[int] = Counter()
    zones: Counter[int] = Counter()
    for row in await db.fetch(_COUNT_BY_GROUP, *seen_by(caller)):
        pools[row["pool_id"]] += row["machines"]
        zones[row["zone_id"]] += row["machines"]
    return GroupCounts(pools=pools, zones=zones)


async def count(db: Db, *, caller: Caller | None = None) -> int:
    """Returns the number of machines that the caller may see; no caller: all."""
    found: int = await db.fetchval(_COUNT, *seen_by(caller))
    return found


async def read_page(db: Db, wanted: MachineSearch, *, caller: Caller | None = None) -> MachinePage:
    """Returns the page, with the machines that the caller may see. A page beyond the last is empty, and its total 0."""
    rows = await _rows(db, wanted, wanted.limit, caller)
    machines = await view_store.read_all(db, [row["id"] for row in rows], caller=caller, owner_data=False)
    return MachinePage(machines=machines, total=rows[0]["total"] if rows else 0)


async def ordered_ids(db: Db, wanted: MachineSearch, *, caller: Caller | None = None) -> list[int]:
    """Returns the row ids of all machines of the search that the caller may see, in its order; without its limit."""
    return [row["id"] for row in await _rows(db, wanted, None, caller)]


async def _rows(db: Db, wanted: MachineSearch, limit: int | None, caller: Caller | None) -> Sequence[Row]:
    return await db.fetch(
        _STATEMENTS[wanted.sort, wanted.descending],
        *seen_by(caller),
        f"%{wanted.text.translate(_SPECIAL)}%" if wanted.text else "",
        [state.value for state in wanted.states],
        list(wanted.power_states),
        list(wanted.host_ids),
        list(wanted.pools),
        list(wanted.zones),
        list(wanted.owners),
        list(wanted.tags),
        limit,
        wanted.offset,
    )
