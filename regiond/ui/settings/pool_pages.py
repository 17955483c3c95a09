"""Resource pools: with zones in one list with their capacity; a new pool, its change and its deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.groups import POOL, POOLS
from regiond.groups.model import DEFAULT_POOL_ID, DEFAULT_ZONE_ID, ResourcePool
from regiond.permissions import Permission
from regiond.ui.edit import CONFLICT, Edit, begin_edit, read_edit
from regiond.ui.page import Page, Visit, redirect
from regiond.ui.refusal import Refusal
from regiond.ui.removal import Removal, confirm
from regiond.ui.settings.group_row import group_rows
from regiond.ui.web_request import page_url

SECTION = "pools"
CRUMBS = (("Pools and zones", page_url(SECTION)),)
STRATEGIES = (
    ("", "As the region is set"),
    ("spread", "Spread: the host with the most room"),
    ("pack", "Pack: the fullest host that fits"),
)
_NEW = {"name": "", "description": "", "strategy": ""}


async def show_list(visit: Visit) -> Reply:
    services, caller = visit.services, visit.caller
    capacity = await services.hosts.capacity(caller=caller)
    return await visit.page(
        "pools/list.html",
        title="Pools and zones",
        section=SECTION,
        pools=group_rows(await services.groups.pools(caller=caller), capacity.pools, default_id=DEFAULT_POOL_ID),
        zones=group_rows(await services.groups.zones(), capacity.zones, default_id=DEFAULT_ZONE_ID),
    )


async def create(visit: Visit) -> Reply:
    request, refusal = visit.request, None
    values = {name: request.given(name) for name in _NEW}
    if request.method == "POST":
        try:
            await visit.act(POOLS, "POST", fields=values)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(SECTION)
    return await _page(visit, None, begin_edit(values), refusal)


async def change(visit: Visit) -> Reply:
    pool, request = await _pool(visit), visit.request
    current = {"name": pool.name, "description": pool.description, "strategy": pool.strategy or ""}
    if request.method != "POST":
        return await _page(visit, pool, begin_edit(current), None)
    edit = read_edit(request, current)
    if edit.conflicts:
        return await _page(visit, pool, edit, Refusal(status=CONFLICT, problems={}))
    try:
        await visit.act(POOL, "PUT", path={"id": f"id:{pool.id}"}, fields=edit.changes)
    except InnkeeperError as error:
        return await _page(visit, pool, edit, Refusal.of(error))
    return redirect(SECTION)


async def _pool(visit: Visit) -> ResourcePool:
    return await visit.services.groups.pool(f"id:{visit.path['pool']}", caller=visit.caller)


async def _page(visit: Visit, pool: ResourcePool | None, edit: Edit, refusal: Refusal | None) -> Reply:
    return await visit.page(
        "pools/group.html",
        title=pool.name if pool else "Add resource pool",
        section=SECTION,
        status=refusal.status if refusal else 200,
        crumbs=CRUMBS,
        edit=edit,
        is_new=pool is None,
        word="resource pool",
        strategies=STRATEGIES,
        problems=refusal.problems if refusal else {},
    )


async def delete(visit: Visit) -> Reply:
    pool = await _pool(visit)
    removal = Removal(
        title=f"Delete {pool.name}",
        section=SECTION,
        crumbs=CRUMBS,
        button="Delete resource pool",
        name=pool.name,
        place=(SECTION,),
    )

    async def run(fields: Mapping[str, Any]) -> Any:
        return await visit.act(POOL, "DELETE", path={"id": f"id:{pool.id}"}, fields=fields)

    return await confirm(visit, removal, run)


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="pools", handle=show_list),
    Page(path="pools/add", handle=create, permission=ADMIN),
    Page(path="pools/add", method="POST", handle=create, permission=ADMIN),
    Page(path="pools/<pool>", handle=change, permission=ADMIN),
    Page(path="pools/<pool>", method="POST", handle=change, permission=ADMIN),
    Page(path="pools/<pool>/delete", handle=delete, permission=ADMIN),
    Page(path="pools/<pool>/delete", method="POST", handle=delete, permission=ADMIN),
)
