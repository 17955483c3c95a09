"""Tags: the list, a new one, its change and deletion, and the VMs and hosts that get or lose it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from regiond.api.replies import Reply
from regiond.api.resources.region.tags import TAG, TAGS
from regiond.requests.caller import Permission
from regiond.tags.model import Tag
from regiond.ui.forms import forms
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.form_frame import FormFrame
from regiond.ui.forms.object_pages import ObjectKind, object_pages
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url

PLACE = (SETTINGS, "tags")
CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Tags"), page_url(*PLACE)))
_COLUMNS: Mapping[str, Callable[[Tag], Any]] = {
    "name": lambda tag: tag.name.lower(),
    "comment": lambda tag: tag.comment,
}
_NAMES = constant("Names or system ids of VMs and hosts, separated by commas or blanks")


async def show_list(visit: Visit) -> Reply:
    wanted = visit.request.option("q").strip()
    tags = await visit.services.tags.list(caller=visit.caller)
    found = [one for one in tags if wanted.lower() in f"{one.name} {one.comment}".lower()]
    return await visit.page(
        "settings/tags.html",
        title=text("Tags"),
        section=SETTINGS,
        view=in_memory(visit.request, found, _COLUMNS, default="name"),
        text=wanted,
        all_tags=len(tags),
    )


async def put(visit: Visit) -> Reply:
    """Puts the tag on VMs and hosts, and takes it from others."""
    tag = await visit.services.tags.read(visit.path["id"], caller=visit.caller)
    fields = [
        FormField(name="add", label=text("These get the tag"), kind="area", optional=True, help=_NAMES),
        FormField(name="remove", label=text("These lose it"), kind="area", optional=True, help=_NAMES),
    ]
    frame = FormFrame(
        title=text("Put {name} on VMs and hosts", name=tag.name),
        section=SETTINGS,
        crumbs=CRUMBS,
        place=PLACE,
        word=constant("tag"),
        columns=1,
    )

    async def send(values: Mapping[str, str]) -> Reply:
        named = {name: text.replace(",", " ").split() for name, text in values.items()}
        await visit.act(TAG, "POST", "update_nodes", path={"name": tag.name}, fields=named)
        return redirect(*PLACE)

    values = {one.name: visit.request.given(one.name) for one in fields}
    return await forms.create(visit, values, partial(frame.page, visit, fields), send)


async def _fields(_visit: Visit, _tag: Tag | None) -> list[FormField]:
    return [
        FormField(name="name", label=text("Name"), help=text("Letters, digits, underscores and hyphens")),
        FormField(name="comment", label=text("What it is for"), optional=True),
    ]


TAG_KIND = ObjectKind(
    word=constant("tag"),
    section=SETTINGS,
    crumbs=CRUMBS,
    place=PLACE,
    many=TAGS,
    one=TAG,
    key=lambda tag: str(tag.name),
    fields=_fields,
    title=constant("Edit {}"),
    columns=1,
)
PAGES = (
    Page(path="settings/tags", handle=show_list),
    *object_pages(TAG_KIND, add="settings/new-tag", one="settings/tags/<id>"),
    *form_pages("settings/tags/<id>/put", put, permission=Permission.ADMIN),
)
