"""The list of machines: the database filters, searches, sorts and divides it into pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve

from common.errors import InvalidRequest
from regiond.api.declaration.endpoint import Call
from regiond.api.declaration.field_types import Integer, Text
from regiond.api.declaration.fields import Field
from regiond.api.declaration.list_page import Page
from regiond.api.declaration.lists import MAX_LIMIT, MAX_OBJECTS, ListOptions
from regiond.api.resources.machines.machine_filters import machine_filter, names_only_ids
from regiond.api.resources.shared.lookups import hosts_as_machines
from regiond.machines.searches.search.fields import MACHINE_FIELDS
from regiond.machines.values.model import MachineView
from regiond.machines.values.search import MachineColumn, MachineFilter, MachineSearch
from regiond.requests.long_list import LongList
from regiond.requests.search_query import MAX_LENGTH

_COLUMNS: Mapping[str, MachineColumn] = {
    "hostname": MachineColumn.NAME,
    "status_name": MachineColumn.STATE,
    "pod": MachineColumn.HOST,
    "cpu_count": MachineColumn.CORES,
    "memory": MachineColumn.MEMORY,
    "pool": MachineColumn.POOL,
    "owner": MachineColumn.OWNER,
    "created": MachineColumn.CREATED,
}
PAGING = (
    Field(
        "limit",
        Integer(minimum=1, maximum=MAX_LIMIT),
        "Maximum number of machines, sorted by hostname (default: all, oldest first).",
    ),
    Field(
        "after",
        Text(max_length=256),
        "Only machines after the one with this hostname, in the order of the list, for the next page.",
    ),
    Field(
        "sort", Text(), f"The key to sort by; with a leading minus, in descending order. One of {', '.join(_COLUMNS)}."
    ),
    Field(
        "q",
        Text(max_length=MAX_LENGTH),
        "Only machines with these words in hostname, system id, description, VM host, owner, pool, tag or address; "
        f"with fields as in pool:staging -tag:gpu cores:>=4. The fields are {', '.join(MACHINE_FIELDS)}.",
    ),
)


async def list_machines(call: Call) -> Page[MachineView]:
    values = call.values
    options = ListOptions.of(values)
    if options.sort and options.sort not in _COLUMNS:
        known = ", ".join(_COLUMNS)
        raise InvalidRequest.of({"sort": [f"There is no key {options.sort[:60]!r} to sort by; use {known}."]})
    wanted = await machine_filter(call.services, values)
    names_devices = bool(values["storage"] or values["interfaces"])
    if options.limit is not None and not (options.sort or options.text or names_devices):
        return await _page(call, evolve(wanted, after=options.after or None), options.limit)
    every = await _long_list(call, wanted)
    if options.is_plain and names_only_ids(values):
        hosts = await hosts_as_machines(call.services, values["id"])
        if hosts:
            both = (*[one async for batch in every.batches() for one in batch], *hosts)
            return Page(found=LongList.of(both), total=len(both))
    if names_devices:
        every = evolve(every, keys=await _with_devices(call, every))
    if options.is_plain:
        return Page(found=every, total=len(every.keys))
    every = evolve(every, keys=await _ordered(call, every, options))
    found = await _after(call, every, options)
    page = found if options.limit is None else evolve(found, keys=found.keys[: options.limit])
    is_last = len(found.keys) == len(page.keys)
    return Page(
        found=page,
        total=len(every.keys),
        next=None if is_last else ("after", await call.services.machines.hostname_of_last(page.keys)),
    )


async def _page(call: Call, wanted: MachineFilter, limit: int) -> Page[MachineView]:
    """A page in the order of hostnames, from an index."""
    found, page = await call.services.machines.by_hostname(wanted, limit=limit, caller=call.caller)
    return Page(
        found=evolve(found, batch=MAX_OBJECTS),
        total=page.total,
        next=None if page.next_after is None else ("after", page.next_after),
    )


async def _with_devices(call: Call, every: LongList[MachineView]) -> Sequence[int]:
    storage, interfaces = call.values["storage"], call.values["interfaces"]
    return await call.services.allocation.with_devices(every.keys, storage=storage, interfaces=interfaces)


async def _long_list(call: Call, wanted: MachineFilter) -> LongList[MachineView]:
    return await call.services.machines.long_list(wanted, caller=call.caller)


async def _after(call: Call, every: LongList[MachineView], options: ListOptions) -> LongList[MachineView]:
    """Returns the machines after the position. Raises InvalidRequest if the machine there no longer exists."""
    if not options.after:
        return every
    last = (await _long_list(call, MachineFilter(hostnames=(options.after,)))).keys
    if not last or last[0] not in every.keys:
        raise InvalidRequest.of({"after": [f"No machine of this list is named {options.after[:80]!r}: begin again."]})
    return evolve(every, keys=every.keys[list(every.keys).index(last[0]) + 1 :])


async def _ordered(call: Call, every: LongList[MachineView], options: ListOptions) -> list[int]:
    search = MachineSearch(
        query=await call.services.machines.read_query(call.values["q"] or "", caller=call.caller),
        sort=_COLUMNS.get(options.sort, MachineColumn.NAME),
        descending=options.descending,
    )
    wanted = frozenset(every.keys)
    return [one for one in await call.services.machines.ordered_ids(search, caller=call.caller) if one in wanted]
