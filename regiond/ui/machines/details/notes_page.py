"""Changes a VM's description and tags, where its page shows them."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.action_pages import read_own
from regiond.ui.machines.details import tagging
from regiond.ui.machines.details.notes_form import DESCRIPTION, TAGS, tag_changes, values_of
from regiond.ui.rendering.page import Visit, form_pages, redirect
from regiond.ui.texts import text


async def notes(visit: Visit) -> Reply:
    """Takes the form of the summary. Shown by itself where it was refused, or somebody else changed the same."""
    machine = await read_own(visit)

    async def show(edit: Edit, refusal: Refusal) -> Reply:
        return await visit.page(
            "machines/notes/notes.html",
            title=text("Description and tags of {hostname}", hostname=machine.hostname),
            section="vms",
            status=refusal.status,
            vm=machine,
            edit=edit,
            problems=refusal.problems,
        )

    async def send(changes: Mapping[str, str]) -> Reply:
        if TAGS in changes:
            wanted = tag_changes(machine.tags, changes[TAGS])
            try:
                await tagging.change(visit, [machine.system_id], add=wanted.add, remove=wanted.remove)
            except InvalidRequest as error:
                raise tagging.about_field(error, TAGS) from error
        if DESCRIPTION in changes:
            path, fields = {"system_id": machine.system_id}, {DESCRIPTION: changes[DESCRIPTION]}
            await visit.act(MACHINE, "PUT", path=path, fields=fields)
        return redirect("vms", machine.system_id)

    return await forms.change(visit, values_of(machine, is_admin=visit.caller.is_admin), show, send)


PAGES = form_pages("vms/<system_id>/notes", notes, permission=Permission.OPERATOR)
