"""Inserts an ISO image into the drive of a VM, or ejects it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.images.model import split_architecture
from regiond.machines.model import MachineView
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle, read_vm
from regiond.ui.page import Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text

IMAGE = "image"


async def iso(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine

    async def send(changes: Mapping[str, str]) -> Reply:
        if IMAGE not in changes:
            return redirect("vms", machine.system_id, CONFIGURATION)
        path, image = {"system_id": machine.system_id}, changes[IMAGE]
        if image:
            answer = await visit.act(MACHINE, "POST", "insert_iso", path=path, fields={IMAGE: image})
            done = text("{hostname} has {image} in its drive.", hostname=machine.hostname, image=image)
        else:
            answer = await visit.act(MACHINE, "POST", "eject_iso", path=path)
            done = text("{hostname} has no ISO image in its drive.", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, CONFIGURATION, answer=answer, text=done)

    boot = machine.boot
    current = {IMAGE: boot.iso if boot.next_iso is None else boot.next_iso}
    return await forms.change(visit, current, partial(_page, visit, machine), send)


async def _page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/iso.html",
        title=text("ISO image of {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        form_fields=[await _choice(visit, machine)],
        edit=edit,
        problems=refusal.problems,
    )


async def _choice(visit: Visit, machine: MachineView) -> FormField:
    """Returns the choice of the ready images, and of the present one, which may have left the catalogue."""
    architecture = split_architecture(machine.architecture)[0]
    images = [
        (one.name, one.title or one.name)
        for one in await visit.services.images.list()
        if one.is_iso and one.is_ready and one.architecture == architecture
    ]
    present = machine.boot.next_iso or machine.boot.iso
    if present and present not in dict(images):
        images.append((present, present))
    return FormField(
        name=IMAGE,
        label=text("ISO image"),
        kind="choice",
        options=tuple(sorted(images)),
        none_label=text("None: the drive is empty"),
    )


PAGES = form_pages("vms/<system_id>/iso", iso, permission=Permission.OPERATOR)
