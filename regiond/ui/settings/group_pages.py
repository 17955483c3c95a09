"""Resource pools and zones: one list with their capacity; a new one, its change and its deletion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from attrs import evolve, frozen

from regiond.api.replies import Reply
from regiond.api.resources.accounts.groups import POOL, POOLS, ZONE, ZONES
from regiond.attention.model import AttentionFilter
from regiond.groups.model import DEFAULT_POOL_ID, DEFAULT_ZONE_ID, ResourcePool, Zone
from regiond.ledger.model import GroupCapacity
from regiond.ui.attention.attention_row import OF_KIND, overview_lines
from regiond.ui.forms.form_field import FormField, texts_of
from regiond.ui.forms.object_pages import ObjectKind, object_pages
from regiond.ui.forms.removal import Choice, Removal
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import constant, text
from regiond.ui.views.meter import Meter, memory_meter, meter_of, storage_meter
from regiond.ui.web_request import page_url

SECTION = "pools"
CRUMBS = ((constant("Pools and zones"), page_url(SECTION)),)
_NAME = FormField(
    name="name", label=constant("Name"), help=constant("Letters, digits, blanks, hyphens and underscores")
)
_DESCRIPTION = FormField(name="description", label=constant("Description"), kind="area", optional=True, rows=3)
_STRATEGY = FormField(
    name="strategy",
    label=constant("Placement of its VMs"),
    kind="choice",
    options=(
        ("spread", constant("Spread: the host with the most room")),
        ("pack", constant("Pack: the fullest host that fits")),
    ),
    none_label=constant("As the region is set"),
)


@frozen(kw_only=True)
class GroupRow:
    """A pool or zone. The meters are None without hosts. `unreachable`: servers that the meters leave out."""

    group: ResourcePool | Zone
    is_default: bool
    hosts: int = 0
    machines: int = 0
    unreachable: int = 0
    cores: Meter | None = None
    memory: Meter | None = None
    storage: Meter | None = None


def group_rows(
    groups: Iterable[ResourcePool | Zone],
    capacities: Iterable[GroupCapacity],
    machines: Mapping[int, int],
    *,
    default_id: int,
) -> tuple[GroupRow, ...]:
    """In the order of `groups`; those without capacity have no hosts. `machines` counts VMs by id of the group."""
    found = {one.name: one for one in capacities}
    return tuple(
        _row(group, found.get(group.name), machines.get(group.id, 0), is_default=group.id == default_id)
        for group in groups
    )


def _row(group: ResourcePool | Zone, counted: GroupCapacity | None, machines: int, *, is_default: bool) -> GroupRow:
    if counted is None:
        return GroupRow(group=group, is_default=is_default, machines=machines)
    total = counted.capacity
    return GroupRow(
        group=group,
        is_default=is_default,
        machines=machines,
        hosts=sum(counted.states.values()),
        unreachable=counted.unreachable_servers,
        cores=meter_of(text("CPU cores"), total.cores),
        memory=memory_meter(text("RAM"), total.memory_mib),
        storage=storage_meter(text("Storage"), total.storage_bytes),
    )


async def show_list(visit: Visit) -> Reply:
    services, caller = visit.services, visit.caller
    capacity = await services.hosts.capacity(caller=caller)
    machines = await services.machines.count_by_group(caller=caller)
    pools, zones = await services.groups.pools(caller=caller), await services.groups.zones()
    return await visit.page(
        "pools/list.html",
        title=text("Pools and zones"),
        section=SECTION,
        pools=group_rows(pools, capacity.pools, machines.pools, default_id=DEFAULT_POOL_ID),
        zones=group_rows(zones, capacity.zones, machines.zones, default_id=DEFAULT_ZONE_ID),
    )


async def _pool_fields(_visit: Visit, pool: ResourcePool | None) -> tuple[FormField, ...]:
    resource, method = (POOLS, "POST") if pool is None else (POOL, "PUT")
    return texts_of(resource, method, _NAME, _DESCRIPTION, _STRATEGY)


async def _zone_fields(_visit: Visit, zone: Zone | None) -> tuple[FormField, ...]:
    resource, method = (ZONES, "POST") if zone is None else (ZONE, "PUT")
    return texts_of(resource, method, _NAME, _DESCRIPTION)


def _attention(filtered: Callable[[str], AttentionFilter], key: str) -> Callable[[Visit, Any], Awaitable[Any]]:
    """Reads what needs attention in a group; `key` is the parameter of the list's page that has its name."""

    async def read(visit: Visit, group: ResourcePool | Zone | None) -> Mapping[str, Any]:
        if group is None:
            return {}
        groups = await visit.services.attention.groups(filtered(group.name), per_kind=OF_KIND, caller=visit.caller)
        return {
            "attention": overview_lines(groups, visit.caller),
            "attention_count": sum(one.count for one in groups),
            "attention_url": page_url("attention", query={key: group.name}),
        }

    return read


async def _zone_removal(visit: Visit, zone: Zone, removal: Removal) -> Removal:
    others = [one.name for one in await visit.services.groups.zones() if one.id != zone.id]
    none_label = text("Nowhere: it is empty")
    choice = Choice(name="move_to", label=text("What is in it moves to"), options=others, none_label=none_label)
    return evolve(removal, choice=choice)


POOL_KIND = ObjectKind(
    word=constant("resource pool"),
    section=SECTION,
    crumbs=CRUMBS,
    place=(SECTION,),
    many=POOLS,
    one=POOL,
    key=lambda pool: f"id:{pool.id}",
    prefix="id:",
    fields=_pool_fields,
    more=_attention(lambda name: AttentionFilter(pools=(name,)), "pool"),
    template="pools/edit.html",
    columns=1,
)
ZONE_KIND = evolve(
    POOL_KIND, word=constant("zone"), many=ZONES, one=ZONE, key=lambda zone: zone.name, fields=_zone_fields,
    more=_attention(lambda name: AttentionFilter(zones=(name,)), "zone"), removal=_zone_removal,
)  # fmt: skip
PAGES = (
    Page(path="pools", handle=show_list),
    *object_pages(POOL_KIND, add="pools/add", one="pools/<id>"),
    *object_pages(ZONE_KIND, add="zones/add", one="zones/<id>"),
)
