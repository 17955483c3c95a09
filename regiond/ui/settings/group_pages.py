"""Resource pools and zones: one list with their capacity; a new one, its change and its deletion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from attrs import frozen

from regiond.api.declaration.endpoint import Resource
from regiond.api.replies import Reply
from regiond.api.resources.accounts.groups import POOL, POOLS, ZONE, ZONES
from regiond.groups.model import DEFAULT_POOL_ID, DEFAULT_ZONE_ID, ResourcePool, Zone
from regiond.permissions import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.forms.removal import Choice, Removal, confirm
from regiond.ui.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.group_row import group_rows
from regiond.ui.web_request import page_url

SECTION = "pools"
CRUMBS = (("Pools and zones", page_url(SECTION)),)
STRATEGIES = (
    ("", "As the region is set"),
    ("spread", "Spread: the host with the most room"),
    ("pack", "Pack: the fullest host that fits"),
)
Group = ResourcePool | Zone


@frozen(kw_only=True)
class Kind:
    """`segment` is the kind's part of the address. `values` are the fields of the form, empty for a new group."""

    word: str
    segment: str
    many: Resource
    one: Resource
    read: Callable[[Visit], Awaitable[Group]]
    values: Callable[[Group | None], dict[str, str]]
    path: Callable[[Group], Mapping[str, str]]
    choice: Callable[[Visit, Group], Awaitable[Choice | None]]


async def show_list(visit: Visit) -> Reply:
    services, caller = visit.services, visit.caller
    capacity = await services.hosts.capacity(caller=caller)
    machines = await services.machines.count_by_group(caller=caller)
    pools, zones = await services.groups.pools(caller=caller), await services.groups.zones()
    return await visit.page(
        "pools/list.html",
        title="Pools and zones",
        section=SECTION,
        pools=group_rows(pools, capacity.pools, machines.pools, default_id=DEFAULT_POOL_ID),
        zones=group_rows(zones, capacity.zones, machines.zones, default_id=DEFAULT_ZONE_ID),
    )


async def _create(kind: Kind, visit: Visit) -> Reply:
    async def send(values: Mapping[str, str]) -> Reply:
        await visit.act(kind.many, "POST", fields=values)
        return redirect(SECTION)

    values = {name: visit.request.given(name) for name in kind.values(None)}
    return await forms.create(visit, values, partial(_page, visit, kind, None), send)


async def _change(kind: Kind, visit: Visit) -> Reply:
    group = await kind.read(visit)

    async def send(changes: Mapping[str, str]) -> Reply:
        await visit.act(kind.one, "PUT", path=kind.path(group), fields=changes)
        return redirect(SECTION)

    return await forms.change(visit, kind.values(group), partial(_page, visit, kind, group), send)


async def _page(visit: Visit, kind: Kind, group: Group | None, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "pools/group.html",
        title=group.name if group else f"Add {kind.word}",
        section=SECTION,
        status=refusal.status,
        crumbs=CRUMBS,
        edit=edit,
        is_new=group is None,
        word=kind.word,
        strategies=STRATEGIES if "strategy" in edit.current else (),
        problems=refusal.problems,
    )


async def _delete(kind: Kind, visit: Visit) -> Reply:
    group = await kind.read(visit)
    removal = Removal(
        title=f"Delete {group.name}",
        section=SECTION,
        crumbs=CRUMBS,
        button=f"Delete {kind.word}",
        resource=kind.one,
        path=kind.path(group),
        name=group.name,
        place=(SECTION,),
        choice=await kind.choice(visit, group),
    )
    return await confirm(visit, removal)


async def _read_pool(visit: Visit) -> Group:
    return await visit.services.groups.pool(f"id:{visit.path['group']}", caller=visit.caller)


async def _read_zone(visit: Visit) -> Group:
    return await visit.services.groups.zone(f"id:{visit.path['group']}")


def _values(group: Group | None) -> dict[str, str]:
    return {"name": group.name if group else "", "description": group.description if group else ""}


def _pool_values(pool: Group | None) -> dict[str, str]:
    return {**_values(pool), "strategy": (isinstance(pool, ResourcePool) and pool.strategy) or ""}


async def _no_choice(_visit: Visit, _group: Group) -> None:
    """A resource pool in use is not deleted."""


async def _move(visit: Visit, zone: Group) -> Choice:
    others = [one.name for one in await visit.services.groups.zones() if one.id != zone.id]
    return Choice(name="move_to", label="What is in it moves to", options=others, none_label="Nowhere: it is empty")


KINDS = (
    Kind(
        word="resource pool",
        segment="pools",
        many=POOLS,
        one=POOL,
        read=_read_pool,
        values=_pool_values,
        path=lambda pool: {"id": f"id:{pool.id}"},
        choice=_no_choice,
    ),
    Kind(
        word="zone",
        segment="zones",
        many=ZONES,
        one=ZONE,
        read=_read_zone,
        values=_values,
        path=lambda zone: {"name": zone.name},
        choice=_move,
    ),
)
PAGES = (
    Page(path="pools", handle=show_list),
    *(
        page
        for kind in KINDS
        for address, handle in (("add", _create), ("<group>", _change), ("<group>/delete", _delete))
        for page in form_pages(f"{kind.segment}/{address}", partial(handle, kind), permission=Permission.ADMIN)
    ),
)
