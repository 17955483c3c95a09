"""Racks and region processes: the list, join tokens, a rack's zones, and its removal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.region.racks import RACK, RACKS
from regiond.api.resources.shared.lookups import find_rack
from regiond.attention.model import ObjectType
from regiond.racks.model import RackView
from regiond.requests.caller import Permission
from regiond.ui.attention.attention_page import attention_of
from regiond.ui.forms.edit import Edit, compare
from regiond.ui.forms.refusal import IN_CONFLICT, NOT_REFUSED, UNPROCESSABLE, Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.web_request import WebRequest, page_url

LIFETIMES = (("3600", constant("1 hour")), ("86400", constant("1 day")), ("604800", constant("7 days")))
ALL = "*"  # no zone has this name
NO_ZONE = constant("Choose at least one zone, or all zones.")
UNCLEAR = constant("Zones are ticked: choose “Only these”, or untick them for all zones.")
CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Racks and regions"), page_url(SETTINGS, "racks")))


async def show_list(visit: Visit) -> Reply:
    caller, racks = visit.caller, visit.services.racks
    return await visit.page(
        "settings/racks.html",
        title=text("Racks and regions"),
        section=SETTINGS,
        racks=await racks.list(caller=caller),
        regions=await racks.regions(caller) if caller.is_admin else (),
    )


async def new_token(visit: Visit) -> Reply:
    """The form, or the token that it made: it is shown this once."""
    request = visit.request
    zones, refusal = _read_zones(request)
    lifetime = request.given("lifetime_s", LIFETIMES[0][0])
    issued = None
    if request.method == "POST" and refusal is NOT_REFUSED:
        try:
            issued = await visit.act(RACKS, "POST", "token", fields={"lifetime_s": lifetime, "zones": zones or None})
        except InnkeeperError as error:
            refusal = Refusal.of(error)
    return await visit.page(
        "settings/token.html",
        title=text("Add rack"),
        section=SETTINGS,
        status=refusal.status,
        crumbs=CRUMBS,
        issued=issued,
        expires_at=datetime.fromisoformat(issued["expires_at"]) if issued else None,
        zones=await visit.services.groups.zones(),
        chosen=zones,
        some=request.given("scope") == "some",
        lifetimes=LIFETIMES,
        lifetime=lifetime,
        problems=refusal.problems,
    )


async def show(visit: Visit) -> Reply:
    rack = await _rack(visit)
    return await _page(visit, rack, _edit(rack, _text(rack.zones)))


async def change_zones(visit: Visit) -> Reply:
    rack, request = await _rack(visit), visit.request
    zones, refusal = _read_zones(request)
    edit = _edit(
        rack,
        _text(zones if request.given("scope") == "some" else None),
        before=request.given("was-zones", _text(rack.zones)),
    )
    if edit.conflicts:
        return await _page(visit, rack, edit, refusal=IN_CONFLICT)
    if refusal is not NOT_REFUSED:
        return await _page(visit, rack, edit, refusal=refusal)
    try:
        fields: Mapping[str, Any] = {"zones": zones} if zones else {"all_zones": True}
        await visit.act(RACK, "PUT", path={"id": str(rack.id)}, fields=fields)
    except InnkeeperError as error:
        return await _page(visit, rack, edit, refusal=Refusal.of(error))
    return redirect(SETTINGS, "racks", str(rack.id))


def _read_zones(request: WebRequest) -> tuple[list[str], Refusal]:
    """The ticked zones, none for all. A choice that could be meant in two ways is refused: it decides who gets keys."""
    zones, some = list(request.form.get("zones", ())), request.given("scope") == "some"
    if some is bool(zones):
        return zones, NOT_REFUSED
    return zones, Refusal(status=UNPROCESSABLE, problems={"zones": [NO_ZONE if some else UNCLEAR]})


async def _rack(visit: Visit) -> RackView:
    return await find_rack(visit.services, {"id": visit.path["rack"]})


def _text(zones: Iterable[str] | None) -> str:
    """None: all. A rack whose zones were all deleted has none."""
    return ALL if zones is None else ",".join(sorted(zones))


def _edit(rack: RackView, typed: str, *, before: str | None = None) -> Edit:
    current = {"zones": _text(rack.zones)}
    return compare(before=current if before is None else {"zones": before}, typed={"zones": typed}, current=current)


async def _page(visit: Visit, rack: RackView, edit: Edit, *, refusal: Refusal = NOT_REFUSED) -> Reply:
    scope = visit.request.given("scope", "all" if edit.values["zones"] == ALL else "some")
    ticked = visit.request.form.get("zones", ()) if visit.request.method == "POST" else rack.zones or ()
    return await visit.page(
        "settings/rack.html",
        title=rack.name,
        section=SETTINGS,
        status=refusal.status,
        crumbs=CRUMBS,
        rack=rack,
        edit=edit,
        chosen=ticked,
        some=scope == "some",
        zones=await visit.services.groups.zones(),
        problems=refusal.problems,
        attention=await attention_of(visit, object_type=ObjectType.RACK, object_id=str(rack.id)),
    )


async def remove(visit: Visit) -> Reply:
    rack = await _rack(visit)
    return await confirm(visit, _removal(rack, text("Remove {name}", name=rack.name), text("Remove rack")))


async def report_stolen(visit: Visit) -> Reply:
    """The plan is that of the removal; besides, credentials that the rack had deleted are replaced."""
    rack = await _rack(visit)
    note = text(
        "Whatever was ever sent to {name} counts as known to others: also the credentials that it should "
        "have deleted are replaced.",
        name=rack.name,
    )

    removal = _removal(rack, text("Report {name} stolen", name=rack.name), text("Report stolen"), note)

    async def run(fields: Mapping[str, Any]) -> Any:
        if "dry_run" in fields:
            return await removal.run(visit, fields)
        return await visit.act(RACK, "POST", "report_stolen", path=removal.path)

    return await confirm(visit, removal, run)


def _removal(rack: RackView, title: str, button: str, note: str = "") -> Removal:
    place = (SETTINGS, "racks", str(rack.id))
    return Removal(
        title=title,
        section=SETTINGS,
        crumbs=(*CRUMBS, (rack.name, page_url(*place))),
        button=button,
        resource=RACK,
        path={"id": str(rack.id)},
        name=rack.name,
        place=place,
        note=note,
        done=text("Rack {name} is removed.", name=rack.name),
    )


ADMIN = Permission.ADMIN
PAGES = (
    Page(path="settings/racks", handle=show_list),
    *form_pages("settings/racks/token", new_token, permission=ADMIN),
    Page(path="settings/racks/<rack>", handle=show),
    Page(path="settings/racks/<rack>/zones", handle=show, permission=ADMIN),  # a refused change refreshes itself
    Page(path="settings/racks/<rack>/zones", method="POST", handle=change_zones, permission=ADMIN),
    *form_pages("settings/racks/<rack>/remove", remove, permission=ADMIN),
    *form_pages("settings/racks/<rack>/stolen", report_stolen, permission=ADMIN),
)
