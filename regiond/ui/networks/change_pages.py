"""Creates, edits and deletes fabrics, VLANs, subnets, spaces and IP ranges."""

from __future__ import annotations

from functools import partial

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.permissions import Permission
from regiond.ui.forms.object_pages import edit_pages
from regiond.ui.networks.network_kinds import KINDS, NetworkKind
from regiond.ui.page import Visit, form_pages, redirect


async def _delete(kind: NetworkKind, visit: Visit) -> Reply:
    """Shows what goes with the object, or deletes it."""
    found = await kind.find(visit)
    path, plan, refusal = kind.path(kind.key(found)), None, ""
    try:
        if visit.request.method == "POST":
            await visit.act(kind.one, "DELETE", path=path)
            return redirect(*kind.place)
        plan = await visit.act(kind.one, "DELETE", path=path, fields={"dry_run": "true"})
    except InnkeeperError as error:
        refusal = error.message
    return await visit.page(
        "networks/delete.html",
        title=f"Delete {kind.word} {kind.name(found)}",
        section=kind.section,
        status=409 if refusal and visit.request.method == "POST" else 200,
        kind=kind,
        plan=plan,
        refusal=refusal,
    )


PAGES = tuple(
    page
    for kind in KINDS
    for pages in (
        edit_pages(kind, add=f"networks/{kind.segment}/add", change=f"networks/{kind.segment}/<id>/edit"),
        form_pages(f"networks/{kind.segment}/<id>/delete", partial(_delete, kind), permission=Permission.ADMIN),
    )
    for page in pages
)
