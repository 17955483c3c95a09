"""MAAS servers: the list, a new one, its check, its change and its deletion."""

from __future__ import annotations

from regiond.api.replies import Reply
from regiond.maas.api.servers import SERVER, SERVERS
from regiond.maas.bridge.model import MaasServer
from regiond.maas.services import MaasServices
from regiond.requests.caller import Permission
from regiond.ui.forms.form_field import SECRET, FormField
from regiond.ui.forms.object_pages import ObjectKind, object_pages
from regiond.ui.rendering.page import Page, Visit, redirect_with_note
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

PLACE = (SETTINGS, "maas")
CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("MAAS servers"), page_url(*PLACE)))
_NAME = FormField(name="name", label=constant("Name"), help=constant("Letters, digits, dots, underscores and hyphens"))
_URL = FormField(name="url", label=constant("URL"), help=constant("Such as http://maas.example.com:5240/MAAS"))
_TRUST = (
    FormField(
        name="fingerprint",
        label=constant("Fingerprint of its certificate"),
        optional=True,
        help=constant("SHA-256; empty: an authority of this computer has signed it"),
    ),
    FormField(
        name="power_url",
        label=constant("Address of this region for its racks"),
        optional=True,
        help=constant("Scheme, host and port; empty: the public URL of the region"),
    ),
)


def _key(*, optional: bool) -> FormField:
    return FormField(
        name="key", label=text("API key of an administrator of the MAAS"), kind=SECRET, optional=optional,
        help=text("Empty keeps the one that is stored") if optional else "",
    )  # fmt: skip


async def show_list(visit: Visit) -> Reply:
    return await visit.page(
        "settings/maas.html",
        title=text("MAAS servers"),
        section=SETTINGS,
        servers=await visit.services.of(MaasServices).maas_servers.list(),
    )


async def check(visit: Visit) -> Reply:
    """Asks the server, and says who it takes the key for."""
    answer = await visit.act(SERVER, "POST", "check", path={"name": visit.path["id"]})
    done = text(
        "{name} answers as MAAS {version}, and takes the key for that of {user}.",
        name=answer["name"], version=answer["version"], user=answer["username"],
    )  # fmt: skip
    return redirect_with_note(visit, *PLACE, text=done)


async def _fields(_visit: Visit, server: MaasServer | None) -> list[FormField]:
    if server is None:
        return [_NAME, _URL, _key(optional=False), *_TRUST]
    return [_URL, _key(optional=True), *_TRUST]


MAAS_KIND = ObjectKind(
    word=constant("MAAS server"),
    section=SETTINGS,
    crumbs=CRUMBS,
    place=PLACE,
    many=SERVERS,
    one=SERVER,
    key=lambda server: str(server.name),
    fields=_fields,
    columns=1,
)
PAGES = (
    Page(path="settings/maas", handle=show_list),
    *object_pages(MAAS_KIND, add="settings/new-maas", one="settings/maas/<id>"),
    Page(path="settings/maas/<id>/check", method="POST", handle=check, permission=Permission.ADMIN),
)
