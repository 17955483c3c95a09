"""Zones: a new one, its change, and its deletion, which can move what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.groups import ZONE, ZONES
from regiond.groups.model import Zone
from regiond.permissions import Permission
from regiond.ui.edit import CONFLICT, Edit, begin_edit, read_edit
from regiond.ui.page import Page, Visit, redirect
from regiond.ui.refusal import Refusal
from regiond.ui.removal import Choice, Removal, confirm
from regiond.ui.settings.pool_pages import CRUMBS, SECTION


async def create(visit: Visit) -> Reply:
    request, refusal = visit.request, None
    values = {name: request.given(name) for name in ("name", "description")}
    if request.method == "POST":
        try:
            await visit.act(ZONES, "POST", fields=values)
        except InnkeeperError as error:
            refusal = Refusal.of(error)
        else:
            return redirect(SECTION)
    return await _page(visit, None, begin_edit(values), refusal)


async def change(visit: Visit) -> Reply:
    zone, request = await _zone(visit), visit.request
    current = {"name": zone.name, "description": zone.description}
    if request.method != "POST":
        return await _page(visit, zone, begin_edit(current), None)
    edit = read_edit(request, current)
    if edit.conflicts:
        return await _page(visit, zone, edit, Refusal(status=CONFLICT, problems={}))
    try:
        await visit.act(ZONE, "PUT", path={"name": zone.name}, fields=edit.changes)
    except InnkeeperError as error:
        return await _page(visit, zone, edit, Refusal.of(error))
    return redirect(SECTION)


async def _zone(visit: Visit) -> Zone:
    return await visit.services.groups.zone(f"id:{visit.path['zone']}")


async def _page(visit: Visit, zone: Zone | None, edit: Edit, refusal: Refusal | None) -> Reply:
    return await visit.page(
        "pools/group.html",
        title=zone.name if zone else "Add zone",
        section=SECTION,
        status=refusal.status if refusal else 200,
        crumbs=CRUMBS,
        edit=edit,
        is_new=zone is None,
        word="zone",
        strategies=(),
        problems=refusal.problems if refusal else {},
    )


async def delete(visit: Visit) -> Reply:
    zone = await _zone(visit)
    others = [one.name for one in await visit.services.groups.zones() if one.id != zone.id]
    removal = Removal(
        title=f"Delete {zone.name}",
        section=SECTION,
        crumbs=CRUMBS,
        button="Delete zone",
        name=zone.name,
        place=(SECTION,),
        choice=Choice(
            name="move_to", label="What is in it moves to", options=others, none_label="Nowhere: it is empty"
        ),
    )

    async def run(fields: Mapping[str, Any]) -> Any:
        return await visit.act(ZONE, "DELETE", path={"name": zone.name}, fields=fields)

    return await confirm(visit, removal, run)


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="zones/add", handle=create, permission=ADMIN),
    Page(path="zones/add", method="POST", handle=create, permission=ADMIN),
    Page(path="zones/<zone>", handle=change, permission=ADMIN),
    Page(path="zones/<zone>", method="POST", handle=change, permission=ADMIN),
    Page(path="zones/<zone>/delete", handle=delete, permission=ADMIN),
    Page(path="zones/<zone>/delete", method="POST", handle=delete, permission=ADMIN),
)
