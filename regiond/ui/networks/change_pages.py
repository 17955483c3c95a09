"""Creates, edits and deletes fabrics, VLANs, subnets, spaces and IP ranges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from common.errors import InnkeeperError
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.permissions import Permission
from regiond.ui.edit_form import EditForm, sent_form, shown_form
from regiond.ui.networks.network_kinds import KINDS, Kind
from regiond.ui.page import Page, Visit, redirect
from regiond.ui.refusal import problems_of

_CONFLICT = 409


async def _add(kind: Kind, visit: Visit) -> Reply:
    """The fields of a new object; the address may have values for them."""
    request = visit.request
    fields = await kind.creating(visit.services)
    if request.method != "POST":
        given = {one.name: request.option(one.name) for one in fields}
        return await _page(visit, kind, None, shown_form(fields, given))
    form = sent_form(request, fields, {one.name: "" for one in fields})
    values = {name: value for name, value in form.values.items() if value}
    try:
        path = {f"{kind.parent}_id": values.pop(kind.parent, "")} if kind.parent else {}
        made = await visit.act(kind.many, "POST", path=path, fields=values)
    except InnkeeperError as error:
        return await _refused(visit, kind, None, form, error)
    return _done(kind, made["id"])


async def _edit(kind: Kind, visit: Visit) -> Reply:
    found = await kind.read(visit.services, visit.path["id"])
    fields, current = await kind.editing(visit.services), kind.values(found)
    if visit.request.method != "POST":
        return await _page(visit, kind, found, shown_form(fields, current))
    form = sent_form(visit.request, fields, current)
    if form.conflicts:
        return await _page(visit, kind, found, form, status=_CONFLICT)
    try:
        if form.changes:
            await visit.act(kind.one, "PUT", path={"id": str(found.id)}, fields=form.changes)
    except InnkeeperError as error:
        return await _refused(visit, kind, found, form, error)
    return _done(kind, found.id)


def _done(kind: Kind, object_id: int) -> Reply:
    return redirect("networks", "subnets", object_id) if kind.segment == "subnets" else redirect("networks")


async def _refused(visit: Visit, kind: Kind, found: Any, form: EditForm, error: InnkeeperError) -> Reply:
    status = errors.reply_for(error).status
    return await _page(visit, kind, found, form, problems=problems_of(error), status=status)


async def _page(
    visit: Visit,
    kind: Kind,
    found: Any,
    form: EditForm,
    *,
    problems: Mapping[str, Sequence[str]] | None = None,
    status: int = 200,
) -> Reply:
    return await visit.page(
        "networks/edit.html",
        title=f"Add {kind.noun}" if found is None else f"Edit {kind.noun} {kind.name(found)}",
        section="networks",
        status=status,
        kind=kind,
        found=found,
        form=form,
        problems=problems or {},
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


def _pages(kind: Kind) -> Iterable[Page]:
    addresses = {"add": _add, "<id>/edit": _edit, "<id>/delete": _delete}
    for address, handle in addresses.items():
        for method in ("GET", "POST"):
            yield Page(
                path=f"networks/{kind.segment}/{address}",
                method=method,
                handle=partial(handle, kind),
                permission=Permission.ADMIN,
            )


PAGES = tuple(page for kind in KINDS for page in _pages(kind))
