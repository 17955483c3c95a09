"""SQL for one page of the machines: searched, filtered, sorted and counted in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from attrs import evolve

from regiond.db.pool import Db
from regiond.machines.core import view_store
from regiond.machines.searches.search.conditions import FROM, NEXT_PARAMETER, WHERE, parameters
from regiond.machines.values.model import GroupCounts, MachinePage
from regiond.machines.values.search import USED, GroupSizes, MachineColumn, MachineSearch
from regiond.requests.caller import Caller, seen_by
from regiond.requests.search_query import SearchQuery

_VISIBLE = """
      from machine m
     where ($1::integer[] is null or m.pool_id = any($1) or m.owner_id = $2
            or (m.owner_id is null and m.composed_by_id = $2))
"""
# Those of a search without a query: their number needs no other column, so PostgreSQL counts them in an index.
_SHOWN = _VISIBLE + " and ($3::integer[] is null or m.host_id = any($3))"
_COUNT = "select count(*)" + _VISIBLE
_COUNT_BY_GROUP = "select m.pool_id, m.zone_id, count(*) as machines" + _VISIBLE + " group by 1, 2"
_ORDERS: Mapping[MachineColumn, tuple[str, ...]] = {
    MachineColumn.NAME: ("m.hostname",),
    MachineColumn.STATE: ("m.state", "m.power_state"),
    MachineColumn.HOST: ("h.name",),
    MachineColumn.CORES: ("m.cores",),
    MachineColumn.MEMORY: ("m.memory_mib",),
    MachineColumn.POOL: ("p.name",),
    MachineColumn.OWNER: ("a.username",),
    MachineColumn.CREATED: ("m.id",),
}
_GROUP = (
    f"case ${NEXT_PARAMETER}::text when 'host' then h.name when 'state' then m.state when 'pool' then p.name"
    " when 'owner' then a.username end"
)
_LIMIT, _OFFSET = f"${NEXT_PARAMETER + 1}::bigint", f"${NEXT_PARAMETER + 2}"


def _page(source: str, order: str) -> str:
    """A page, and the number of machines on all pages: counted beside it, so that the page can be one of an index."""
    return (
        f"select array(select m.id{source}{WHERE} order by {_GROUP} nulls last, {order}"
        f" limit {_LIMIT} offset {_OFFSET}) as ids,"
        f" case when {_LIMIT} is not null then case when ${NEXT_PARAMETER + 3}::boolean"
        f" then (select count(*) {_SHOWN}) else (select count(*){FROM}{WHERE}) end end as total"
    )


def _ordered(*columns: str, descending: bool) -> str:
    """The order, by hostname then; of a unique column it is that of its index."""
    direction = "desc" if descending else "asc"
    if columns[0] in _UNIQUE:
        return f"{columns[0]} {direction}"
    return ", ".join((*(f"{each} {direction} nulls last" for each in columns), "m.hostname", "m.id"))


_UNIQUE = ("m.hostname", "m.id")
_STATEMENTS: Mapping[tuple[MachineColumn, bool], str] = {
    (column, descending): _page(FROM, _ordered(*order, descending=descending))
    for column, order in _ORDERS.items()
    for descending in (False, True)
}
_USED_FROM = (
    FROM
    + " left join guest gu on gu.machine_id = m.id left join"
    + f" unnest(${NEXT_PARAMETER + 4}::integer[], ${NEXT_PARAMETER + 5}::text[], ${NEXT_PARAMETER + 6}::float8[])"
    + " as used (host_id, guest, amount) on m.power_state <> 'off' and used.host_id = m.host_id"
    + " and used.guest = coalesce(gu.name, m.hostname) "
)
_SHARE_OF_CORES = "used.amount / greatest(m.cores, 1)"
_USED_STATEMENTS: Mapping[tuple[MachineColumn, bool], str] = {
    (column, descending): _page(_USED_FROM, _ordered(amount, descending=descending))
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
    ids, total = await _ids(db, wanted, wanted.limit, caller)
    if not ids and wanted.offset:
        wanted = evolve(wanted, offset=max(0, (total - 1) // wanted.limit * wanted.limit))
        ids, total = await _ids(db, wanted, wanted.limit, caller)
    machines = await view_store.read_all(db, ids, caller=caller, owner_data=False)
    return MachinePage(machines=machines, total=total, offset=wanted.offset)


async def ordered_ids(db: Db, wanted: MachineSearch, *, caller: Caller | None = None) -> list[int]:
    """Returns the row ids of all machines of the search that the caller may see, in its order; without its limit."""
    ids, _ = await _ids(db, wanted, None, caller)
    return ids


async def group_sizes(db: Db, wanted: MachineSearch, *, caller: Caller | None = None) -> GroupSizes:
    """Returns the numbers of machines of all pages of the search, by what groups them."""
    group = wanted.group.value if wanted.group else None
    async with _planned_for_its_values(db):
        rows = await db.fetch(_GROUP_SIZES, *parameters(wanted, caller), group)
    return {row["name"]: row["machines"] for row in rows}


async def _ids(db: Db, wanted: MachineSearch, limit: int | None, caller: Caller | None) -> tuple[list[int], int]:
    """Returns the row ids of the page, and the number of machines on all pages; 0 without a limit."""
    # A list that is sorted by what groups it needs no other order, and may be in the opposite one.
    group = wanted.group.value if wanted.group and wanted.group.value != wanted.sort.value else None
    arguments = (*parameters(wanted, caller), group, limit, wanted.offset, wanted.query == SearchQuery())
    async with _planned_for_its_values(db):
        if wanted.sort in USED:
            column, used = wanted.sort if wanted.sort is MachineColumn.CPU_USED else MachineColumn.RAM_USED, wanted.used
            (row,) = await db.fetch(
                _USED_STATEMENTS[column, wanted.descending], *arguments, used.host_ids, used.guests, used.amounts
            )
        else:
            (row,) = await db.fetch(_STATEMENTS[wanted.sort, wanted.descending], *arguments)
    return row["ids"], row["total"] or 0


@asynccontextmanager
async def _planned_for_its_values(db: Db) -> AsyncIterator[None]:
    """Has statements planned for their values: of a search, most conditions do not apply, and cost much otherwise."""
    async with db.transaction():
        await db.execute(_PLAN)
        yield
