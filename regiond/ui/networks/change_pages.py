"""Creates, edits and deletes fabrics, VLANs, subnets, spaces and IP ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.permissions import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.networks.network_kinds import KINDS, Kind
from regiond.ui.page import Visit, form_pages, redirect


async def _add(kind: Kind, visit: Visit) -> Reply:
    """The fields of a new object; the address may have values for them."""
    fields = await kind.creating(visit.services)
    request = visit.request
    given = request.given if request.method == "POST" else request.option

    async def send(values: Mapping[str, str]) -> Reply:
        values = {name: value for name, value in values.items() if value}
        path = {f"{kind.parent}_id": values.pop(kind.parent, "")} if kind.parent else {}
        made = await visit.act(kind.many, "POST", path=path, fields=values)
        return _done(kind, made["id"])

    values = {one.name: given(one.name).strip() for one in fields}
    return await forms.create(visit, values, partial(_page, visit, kind, None, fields), send)


async def _edit(kind: Kind, visit: Visit) -> Reply:
    found = await kind.read(visit.services, visit.path["id"])
    fields = await kind.editing(visit.services)

    async def send(changes: Mapping[str, str]) -> Reply:
        if changes:
            await visit.act(kind.one, "PUT", path={"id": str(found.id)}, fields=changes)
        return _done(kind, found.id)

    return await forms.change(visit, kind.values(found), partial(_page, visit, kind, found, fields), send)


def _done(kind: Kind, object_id: int) -> Reply:
    return redirect("networks", "subnets", object_id) if kind.segment == "subnets" else redirect("networks")


async def _page(
    visit: Visit, kind: Kind, found: Any, fields: Sequence[FormField], edit: Edit, refusal: Refusal
) -> Reply:
    return await visit.page(
        "networks/edit.html",
        title=f"Add {kind.noun}" if found is None else f"Edit {kind.noun} {kind.name(found)}",
        section="networks",
        status=refusal.status,
        kind=kind,
        found=found,
        form_fields=fields,
        edit=edit,
        problems=refusal.problems,
    )


async def _delete(kind: Kind, visit: Visit) -> Reply:
    """Shows what goes with the object, or deletes it."""
    found = await kind.read(visit.services, visit.path["id"])
    path, plan, refusal = {"id": str(found.id)}, None, ""
    try:
        if visit.request.method == "POST":
            await visit.act(kind.one, "DELETE", path=path)
            return redirect("networks")
        plan = await visit.act(kind.one, "DELETE", path=path, fields={"dry_run": "true"})
    except InnkeeperError as error:
        refusal = error.message
    return await visit.page(
        "networks/delete.html",
        title=f"Delete {kind.noun} {kind.name(found)}",
        section="networks",
        status=409 if refusal and visit.request.method == "POST" else 200,
        kind=kind,
        found=found,
        plan=plan,
        refusal=refusal,
    )


PAGES = tuple(
    page
    for kind in KINDS
    for address, handle in (("add", _add), ("<id>/edit", _edit), ("<id>/delete", _delete))
    for page in form_pages(f"networks/{kind.segment}/{address}", partial(handle, kind), permission=Permission.ADMIN)
)
