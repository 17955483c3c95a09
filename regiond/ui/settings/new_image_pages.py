"""Adds an image: by address, from a server of images, as a file of the user, or one of a VM host."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import evolve, frozen

from common.errors import InnkeeperError, InvalidRequest, NotFound
from regiond.api.replies import Reply, json_reply
from regiond.api.resources.images.boot_resources import BOOT_RESOURCE, BOOT_RESOURCE_FILE, BOOT_RESOURCES
from regiond.images.model import ARCHITECTURES, ISO_FILETYPE
from regiond.requests.caller import Permission
from regiond.requests.validation_messages import no_object
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.settings.image_pages import CRUMBS
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

_NAME = FormField(
    name="name",
    label=constant("Name"),
    help=constant("Distribution and release such as ubuntu/noble, or a name of your own"),
)
_TITLE = FormField(name="title", label=constant("Title"), optional=True, help=constant("For people"))
_ARCHITECTURE = FormField(
    name="architecture",
    label=constant("Architecture"),
    kind="choice",
    options=tuple((one, one) for one in ARCHITECTURES),
)
_KIND = FormField(
    name="filetype",
    label=constant("Kind"),
    kind="choice",
    none_label=constant("The disk of an operating system"),
    options=((ISO_FILETYPE, constant("An ISO image for the drive of VMs")),),
    optional=True,
)
_EXPECTED = FormField(
    name="sha256",
    label="SHA-256",
    optional=True,
    help=constant("As the publisher states it; the file then has to have it"),
)
_SHA256 = FormField(name="sha256", label="SHA-256", help=constant("As the publisher states it: 64 hexadecimal digits"))


@frozen(kw_only=True)
class Way:
    """A way to add an image: `op` of the API, and what the form asks for. `takes_file`: and a file, which is sent in
    parts by the page's script."""

    label: str
    text: str
    button: str
    op: str | None
    fields: tuple[FormField, ...]
    takes_file: bool = False


_VM_HOST = "vm_host"
_UPLOADED = ("name", "architecture", "filetype", "title", "sha256")
_NO_SCRIPT = constant(
    "Without JavaScript, a browser cannot send a file in parts. Upload it with the command innkeeper, as the "
    "page of images shows, or from an address."
)
WAYS: Mapping[str, Way] = {
    "url": Way(
        label=constant("From an address"),
        text=constant(
            "The region downloads the file in the background, continues after interruptions, and checks its SHA-256."
        ),
        button=constant("Download image"),
        op=None,
        fields=(
            FormField(name="url", label=constant("Address"), help=constant("Of the file: https://… or http://…")),
            _SHA256,
            _NAME,
            _ARCHITECTURE,
            _KIND,
            _TITLE,
        ),
    ),
    "import": Way(
        label=constant("From an image server"),
        text=constant(
            "The region finds the newest disk in the lists of a simplestreams server, such as Ubuntu's or "
            "LXD's, and downloads it."
        ),
        button=constant("Import image"),
        op="import",
        fields=(
            FormField(
                name="server",
                label=constant("Server"),
                help=constant("Such as https://cloud-images.ubuntu.com/releases"),
            ),
            FormField(
                name="image", label=constant("Image"), help=constant("An alias or a release such as noble or debian/12")
            ),
            _ARCHITECTURE,
            FormField(
                name="version",
                label=constant("Version"),
                optional=True,
                help=constant("The newest, unless you name one"),
            ),
            FormField(
                name="name",
                label=constant("Name"),
                optional=True,
                help=constant("That of the server, unless you give one"),
            ),
            _TITLE,
        ),
    ),
    "file": Way(
        label=constant("From this computer"),
        text=constant("Your browser sends the file in parts. Keep this page open until it has sent all of them."),
        button=constant("Upload image"),
        op=None,
        fields=(_NAME, _ARCHITECTURE, _KIND, _TITLE, _EXPECTED),
        takes_file=True,
    ),
    "host": Way(
        label=constant("From a VM host"),
        text=constant(
            "An image that a server of LXD or Incus has already, for VMs of that host. It stays there: the region "
            "neither copies nor deletes it. Title and architecture are the server's."
        ),
        button=constant("Add image"),
        op=None,
        fields=(
            FormField(name=_VM_HOST, label=constant("VM host"), kind="choice", none_label=constant("Choose a VM host")),
            FormField(
                name="alias",
                label=constant("Alias"),
                optional=True,
                help=constant("On that server: lxc image list, or incus image list"),
            ),
            FormField(
                name="fingerprint",
                label=constant("Fingerprint"),
                optional=True,
                help=constant("Instead of an alias; its beginning is enough"),
            ),
            evolve(
                _NAME,
                optional=True,
                help=constant("The server's distribution and release, or the alias, unless you give one"),
            ),
            _TITLE,
        ),
    ),
}


async def show_first(visit: Visit) -> Reply:
    return redirect(SETTINGS, "new-image", next(iter(WAYS)))


async def add(visit: Visit) -> Reply:
    way = WAYS.get(visit.path["way"])
    if way is None:
        raise NotFound(no_object("way to add an image", visit.path["way"], WAYS))

    async def send(values: Mapping[str, str]) -> Reply:
        if way.takes_file:
            raise InvalidRequest(_NO_SCRIPT)
        if values.get(_VM_HOST) == "":
            raise InvalidRequest.of({_VM_HOST: ["Choose the VM host that has the image."]})
        given = {name: value for name, value in values.items() if value}
        await visit.act(BOOT_RESOURCES, "POST", way.op, fields=given)
        return redirect(SETTINGS, "images")

    values = {one.name: visit.request.given(one.name).strip() for one in way.fields}
    return await forms.create(visit, values, partial(_page, visit, way), send)


async def begin_upload(visit: Visit) -> Reply:
    """JSON for the script: the address of the upload and where it continues, or `problems` by field."""
    given = {name: visit.request.given(name).strip() for name in (*_UPLOADED, "size")}
    try:
        entry = await visit.act(BOOT_RESOURCES, "POST", fields={name: value for name, value in given.items() if value})
    except InnkeeperError as error:
        refusal = Refusal.of(error)
        return json_reply({"problems": refusal.problems}, status=refusal.status)
    return _progress(entry)


async def read_upload(visit: Visit) -> Reply:
    return _progress(await visit.act(BOOT_RESOURCE, "GET", path={"id": visit.path["image"]}))


async def add_part(visit: Visit) -> Reply:
    """JSON, as `begin_upload`. 409 if the part does not begin where the upload ends."""
    number = visit.path["image"]
    try:
        entry = await visit.act(
            BOOT_RESOURCE_FILE,
            "PUT",
            path={"id": number, "file_id": number},
            fields={"offset": visit.request.option("offset")},
            content=visit.request.content or b"",
        )
    except InnkeeperError as error:
        refusal = Refusal.of(error)
        return json_reply({"problems": refusal.problems}, status=refusal.status)
    return _progress(entry)


def _progress(entry: Mapping[str, Any]) -> Reply:
    address = page_url(SETTINGS, "image-upload", entry["id"])
    return json_reply({"address": address, "received": entry["received"], "state": entry["state"]})


async def _with_hosts(visit: Visit, way: Way) -> Way:
    """The same with the VM hosts to choose from, if it asks for one."""
    if all(one.name != _VM_HOST for one in way.fields):
        return way
    hosts = tuple((name, name) for name in await visit.services.hosts.names(caller=visit.caller))
    return evolve(way, fields=tuple(evolve(one, options=hosts) if one.name == _VM_HOST else one for one in way.fields))


async def _page(visit: Visit, way: Way, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "settings/new_image.html",
        title=text("Add image"),
        section=SETTINGS,
        status=refusal.status,
        crumbs=CRUMBS,
        ways=WAYS,
        way=await _with_hosts(visit, way),
        edit=edit,
        problems=refusal.problems,
    )


PAGES = (
    Page(path="settings/new-image", handle=show_first, permission=Permission.ADMIN),
    *form_pages("settings/new-image/<way>", add, permission=Permission.ADMIN),
    Page(path="settings/image-upload", handle=begin_upload, method="POST", permission=Permission.ADMIN),
    Page(path="settings/image-upload/<image>", handle=read_upload, permission=Permission.ADMIN),
    Page(path="settings/image-upload/<image>", handle=add_part, method="POST", permission=Permission.ADMIN),
)
