"""Images for deployments: the list with uploads under way, how to add one, the default, and deletion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from regiond.api.replies import Reply
from regiond.api.resources.images.boot_resources import BOOT_RESOURCE
from regiond.api.resources.region.maas_config import MAAS
from regiond.api.urls import id_in
from regiond.images.model import Image, ImageState
from regiond.requests.caller import Permission
from regiond.ui.forms.question import Change, Question, ask
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.views.formats import file_size, share
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url

CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Images"), page_url(SETTINGS, "images")))
_USUAL = "amd64"
_COLUMNS: Mapping[str, Callable[[Image], Any]] = {
    "name": lambda image: (image.name, image.architecture),
    "architecture": lambda image: (image.architecture, image.name),
    "format": lambda image: image.format,
    "size": lambda image: image.virtual_size_bytes,
    "state": lambda image: (image.state, image.name),
    "added": lambda image: image.created_at,
}


@frozen(kw_only=True)
class Progress:
    """An upload or download, as texts: `percent` is `30 %`, the others are sizes. `whole` may be empty."""

    percent: str
    received: str
    whole: str


def progress_of(image: Image) -> Progress | None:
    """None unless parts of the image are missing."""
    if image.state not in {ImageState.UPLOADING, ImageState.DOWNLOADING}:
        return None
    return Progress(
        percent=share(image.received_bytes, image.size_bytes) if image.size_bytes else "",
        received=file_size(image.received_bytes),
        whole=file_size(image.size_bytes) if image.size_bytes else "",
    )


async def show_list(visit: Visit) -> Reply:
    services = visit.services
    images = await services.images.list()
    architectures = [one.architecture for one in await services.images.architecture_entries()]
    defaults = [await services.images.find_default(name) for name in sorted({one.architecture for one in images})]
    view = in_memory(visit.request, images, _COLUMNS, default="name")
    return await visit.page(
        "settings/images.html",
        title=text("Images"),
        section=SETTINGS,
        crumbs=CRUMBS[:1],
        view=view,
        progress={image.id: progress_of(image) for image in view.rows},
        copies=await services.images.hosts_with_copy() if visit.caller.is_admin else {},
        default_name="/".join(await services.images.default_name()),
        default_ids={image.id for image in defaults if image is not None},
        architecture=architectures[0] if architectures else _USUAL,
    )


async def delete(visit: Visit) -> Reply:
    image = await visit.services.images.read(id_in(visit.path["image"], "image"))
    removal = Removal(
        title=text("Delete {name} ({architecture})", name=image.name, architecture=image.architecture),
        section=SETTINGS,
        crumbs=CRUMBS,
        button=text("Delete image"),
        resource=BOOT_RESOURCE,
        path={"id": str(image.id)},
        place=(SETTINGS, "images"),
        done=text("Image {name} ({architecture}) is deleted.", name=image.name, architecture=image.architecture),
    )
    return await confirm(visit, removal)


async def make_default(visit: Visit) -> Reply:
    image = await visit.services.images.read(id_in(visit.path["image"], "image"))
    osystem, series = await visit.services.images.default_name()
    before = f"{osystem}/{series}" if series else ""
    question = Question(
        title=text("Make {name} the default image", name=image.name),
        section=SETTINGS,
        crumbs=CRUMBS,
        button=text("Make default"),
        back=page_url(SETTINGS, "images"),
        undo=text("Make another image the default."),
        effects=(text("Deployments that name no image use it, on all architectures that it has."),),
        changes=(Change(label=text("Default image"), before=before, after=image.name),),
    )

    async def act() -> Reply:
        await visit.act(MAAS, "POST", "set_config", fields={"name": "default_distro_series", "value": image.name})
        return redirect(SETTINGS, "images")

    return await ask(visit, question, act)


async def show_image(visit: Visit) -> Reply:
    """An image has no page of its own."""
    return redirect(SETTINGS, "images")


PAGES = (
    Page(path="settings/images", handle=show_list),
    Page(path="settings/images/<image>", handle=show_image),
    *form_pages("settings/images/<image>/default", make_default, permission=Permission.ADMIN),
    *form_pages("settings/images/<image>/delete", delete, permission=Permission.ADMIN),
)
