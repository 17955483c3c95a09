"""SQL for one page of the machines: searched, filtered, sorted and counted in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from attrs import evolve

from regiond.db.pool import Db, Row
from regiond.machines.core import view_store
from regiond.machines.searches.search.conditions import FROM, NEXT_PARAMETER, WHERE, parameters
from regiond.machines.values.model import GroupCounts, MachinePage
from regiond.machines.values.search import USED, GroupSizes, MachineColumn, MachineSearch
from regiond.requests.caller import Caller, seen_by

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
_GROUP = (
    f"case ${NEXT_PARAMETER}::text when 'host' then h.name when 'state' then m.state when 'pool' then p.name"
    " when 'owner' then a.username end"
)
_PAGE = "select m.id, count(*) over () as total" + FROM + WHERE  # noqa: S608  # our own texts
_STATEMENTS: Mapping[tuple[MachineColumn, bool], str] = {
    (column, descending): f"{_PAGE} order by {_GROUP} nulls last, "
    + ", ".join(f"{each} {'desc' if descending else 'asc'} nulls last" for each in order.split(", "))
    + f", m.hostname, m.id limit ${NEXT_PARAMETER + 1} offset ${NEXT_PARAMETER + 2}"
    for column, order in _ORDERS.items()
    for descending in (False, True)
}
_USED_FROM = (
    FROM
    + " left join guest gu on gu.machine_id = m.id left join"
    + f" unnest(${NEXT_PARAMETER + 3}::integer[], ${NEXT_PARAMETER + 4}::text[], ${NEXT_PARAMETER + 5}::float8[])"
    + " as used (host_id, guest, amount) on m.power_state <> 'off' and used.host_id = m.host_id"
    + " and used.guest = coalesce(gu.name, m.hostname) "
)
_SHARE_OF_CORES = "used.amount / greatest(m.cores, 1)"
_USED_PAGE = f"select m.id, count(*) over () as total{_USED_FROM}{WHERE} order by {_GROUP} nulls last, "
_USED_STATEMENTS: Mapping[tuple[MachineColumn, bool], str] = {
    (column, descending): f"{_USED_PAGE}{amount} {'desc' if descending else 'asc'} nulls last, m.hostname, m.id"
    f" limit ${NEXT_PARAMETER + 1} offset ${NEXT_PARAMETER + 2}"
    for column, amount in ((MachineColumn.CPU_USED, _SHARE_OF_CORES), (MachineColumn.RAM_USED, "used.amount"))
    for descending in (False, True)
}  # that of RAM_USED is for all but the CPU
_PLAN = "set local plan_cache_mode = force_custom_plan"
_GROUP_SIZES = f"select {_GROUP} as name, count(*) as machines" + FROM + WHERE + " group by 1"  # noqa: S608  # our own


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
    """Returns the page, with the machines that the caller may see. Instead of one beyond the last, that is returned."""
    rows = await _rows(db, wanted, wanted.limit, caller)
    if not rows and wanted.offset:
        first = await _rows(db, evolve(wanted, offset=0), 1, caller)
        total = first[0]["total"] if first else 0
        wanted = evolve(wanted, offset=max(0, (total - 1) // wanted.limit * wanted.limit))
        rows = await _rows(db, wanted, wanted.limit, caller)
    machines = await view_store.read_all(db, [row["id"] for row in rows], caller=caller, owner_data=False)
    return MachinePage(machines=machines, total=rows[0]["total"] if rows else 0, offset=wanted.offset)


async def ordered_ids(db: Db, wanted: MachineSearch, *, caller: Caller | None = None) -> list[int]:
    """Returns the row ids of all machines of the search that the caller may see, in its order; without its limit."""
    return [row["id"] for row in await _rows(db, wanted, None, caller)]


async def group_sizes(db: Db, wanted: MachineSearch, *, caller: Caller | None = None) -> GroupSizes:
    """Returns the numbers of machines of all pages of the search, by what groups them."""
    group = wanted.group.value if wanted.group else None
    async with _planned_for_its_values(db):
        rows = await db.fetch(_GROUP_SIZES, *parameters(wanted, caller), group)
    return {row["name"]: row["machines"] for row in rows}


async def _rows(db: Db, wanted: MachineSearch, limit: int | None, caller: Caller | None) -> Sequence[Row]:
    # A list that is sorted by what groups it needs no other order, and may be in the opposite one.
    group = wanted.group.value if wanted.group and wanted.group.value != wanted.sort.value else None
    async with _planned_for_its_values(db):
        if wanted.sort in USED:
            column = wanted.sort if wanted.sort is MachineColumn.CPU_USED else MachineColumn.RAM_USED
            used = wanted.used
            return await db.fetch(
                _USED_STATEMENTS[column, wanted.descending], *parameters(wanted, caller), group, limit, wanted.offset,
                used.host_ids, used.guests, used.amounts,
            )  # fmt: skip
        return await db.fetch(
            _STATEMENTS[wanted.sort, wanted.descending], *parameters(wanted, caller), group, limit, wanted.offset
        )


@asynccontextmanager
async def _planned_for_its_values(db: Db) -> AsyncIterator[None]:
    """Has statements planned for their values: of a search, most conditions do not apply, and cost much otherwise."""
    async with db.transaction():
        await db.execute(_PLAN)
        yield
