"""Files of whole VMs: exports that run, files to download and to delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from common.errors import InvalidRequest
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.machines.hardware.exports import EXPORT_FILE, file_reply
from regiond.api.urls import id_in
from regiond.exports.model import Export, ExportState
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect, redirect_with_note
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.views.formats import file_size
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url

EXPORTS = "exports"
CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Exports"), page_url(SETTINGS, EXPORTS)))
_COMMAND = "innkeeper machine export web-1 --output web-1.tar"
_TICKS = ("keep_mac_addresses", "power_on")
_FIELDS = ("host", "hostname", "storage_pool", "interfaces", *_TICKS)
_UNFINISHED = (ExportState.EXPORTING, ExportState.UPLOADING)
_COLUMNS: Mapping[str, Callable[[Export], Any]] = {
    "name": lambda one: (one.name, one.id),
    "state": lambda one: (one.state, one.id),
    "size": lambda one: one.size_bytes,
    "owner": lambda one: (one.owner or "", one.id),
    "made": lambda one: one.created_at,
    "expires": lambda one: one.expires_at,
}


async def show_list(visit: Visit) -> Reply:
    view = in_memory(visit.request, await visit.services.exports.list(visit.caller), _COLUMNS, default="-made")
    return await visit.page(
        "settings/exports.html",
        title=text("Exports"),
        section=SETTINGS,
        crumbs=CRUMBS[:1],
        view=view,
        may_import=visit.caller.operated_pools != frozenset(),
        export_command=_COMMAND,
        sizes={one.id: file_size(one.size_bytes) for one in view.rows},
        progress={one.id: one.percent for one in view.rows if one.state in _UNFINISHED},
    )


async def delete(visit: Visit) -> Reply:
    found = await visit.services.exports.read(visit.caller, id_in(visit.path["export"], "export"))
    removal = Removal(
        title=text("Delete the file of {name}", name=found.name),
        section=SETTINGS,
        crumbs=CRUMBS,
        button=text("Delete file"),
        resource=EXPORT_FILE,
        path={"id": str(found.id)},
        place=(SETTINGS, EXPORTS),
        done=text("The file of {name} is deleted.", name=found.name),
    )
    return await confirm(visit, removal)


async def download(visit: Visit) -> Reply:
    export_id = id_in(visit.path["export"], "export")
    return file_reply(await visit.services.exports.download(visit.caller, export_id), partial=False)


async def import_vm(visit: Visit) -> Reply:
    found = await visit.services.exports.read(visit.caller, id_in(visit.path["export"], "export"))

    async def send(values: Mapping[str, str]) -> Reply:
        if not values["host"]:
            raise InvalidRequest.of({"host": [text("Choose a host.")]})
        given = {name: values[name] for name in ("hostname", "storage_pool", "interfaces") if values[name]}
        ticks = {name: "true" for name in _TICKS if values[name]}
        answer = await visit.act(
            HOST, "POST", "import", path={"id": values["host"]}, fields={"export": found.id, **given, **ticks}
        )
        done = text("{name} is imported.", name=values["hostname"] or found.name)
        return redirect_with_note(visit, "vms", answer=answer, text=done)

    values = {name: visit.request.given(name) for name in _FIELDS}
    if visit.request.method != "POST" and found.description is not None:
        values["hostname"] = found.description.hostname
    return await forms.create(visit, values, partial(_import_page, visit, found), send)


async def _import_page(visit: Visit, found: Export, edit: Edit, refusal: Refusal) -> Reply:
    listed = await visit.services.hosts.long_list(caller=visit.caller)
    hosts = await listed.read(listed.keys)
    options = tuple((str(one.id), one.name) for one in hosts if visit.caller.may_operate(one.pool.id))
    return await visit.page(
        "settings/import.html",
        title=text("Import {name}", name=found.name),
        section=SETTINGS,
        crumbs=CRUMBS,
        status=refusal.status,
        export=found,
        form_fields=_import_fields(options),
        has_hosts=bool(options),
        edit=edit,
        problems=refusal.problems,
    )


def _import_fields(hosts: tuple[tuple[str, str], ...]) -> list[FormField]:
    return [
        FormField(name="host", label=text("Host"), kind="choice", options=hosts),
        FormField(name="hostname", label=text("Name of the VM"), help=text("A name that no other VM has")),
        FormField(
            name="storage_pool", label=text("Storage pool"), optional=True,
            help=text("Of the host, for all disks. Empty: its default pool"),
        ),
        FormField(
            name="interfaces", label=text("Networks"), optional=True,
            help=text("As for a new VM. Empty: the networks that the file names"),
        ),
        FormField(
            name="keep_mac_addresses", label=text("Keep the MAC addresses of the file"), kind="tick", optional=True
        ),
        FormField(name="power_on", label=text("Start the VM"), kind="tick", optional=True),
    ]  # fmt: skip


async def show_export(visit: Visit) -> Reply:
    """A file has no page of its own."""
    return redirect(SETTINGS, EXPORTS)


PAGES = (
    Page(path="settings/exports", handle=show_list),
    Page(path="settings/exports/<export>", handle=show_export),
    Page(path="settings/exports/<export>/download", handle=download),
    *form_pages("settings/exports/<export>/delete", delete),
    *form_pages("settings/exports/<export>/import", import_vm, permission=Permission.OPERATOR),
)
