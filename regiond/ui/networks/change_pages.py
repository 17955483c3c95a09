"""Creates, edits and deletes fabrics, VLANs, subnets, spaces and IP ranges."""

from __future__ import annotations

from functools import partial

from regiond.api.replies import Reply
from regiond.requests.caller import Permission
from regiond.ui.forms.object_pages import deleted_text, edit_pages
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.networks.network_kinds import KINDS, NetworkKind
from regiond.ui.rendering.page import Visit, form_pages
from regiond.ui.texts import text


async def _delete(kind: NetworkKind, visit: Visit) -> Reply:
    """Shows what goes with the object, or deletes it."""
    found = await kind.find(visit)
    removal = Removal(
        title=text("Delete {word} {name}", word=kind.word, name=kind.name(found)),
        section=kind.section,
        crumbs=kind.crumbs,
        button=text("Delete {word}", word=kind.word),
        resource=kind.one,
        path=kind.path(kind.key(found)),
        place=kind.place,
        done=deleted_text(kind.word, kind.name(found)),
    )
    return await confirm(visit, removal)


PAGES = tuple(
    page
    for kind in KINDS
    for pages in (
        edit_pages(kind, add=f"networks/{kind.segment}/add", change=f"networks/{kind.segment}/<id>/edit"),
        form_pages(f"networks/{kind.segment}/<id>/delete", partial(_delete, kind), permission=Permission.ADMIN),
    )
    for page in pages
)
