"""Changes when a VM starts with its host, among the others that do."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from common.boot import StartOrder
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.machines.model import MachineView
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle, read_vm
from regiond.ui.page import Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text


async def start_order(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine

    async def send(changes: Mapping[str, str]) -> Reply:
        if not changes:
            return redirect("vms", machine.system_id, CONFIGURATION)
        path = {"system_id": machine.system_id}
        answer = await visit.act(MACHINE, "POST", "set_start_order", path=path, fields=changes)
        done = text("The start order of {hostname} is changed.", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, CONFIGURATION, answer=answer, text=done)

    order = machine.boot.start_order or StartOrder()
    current = {"priority": str(order.priority), "delay": str(order.delay_s)}
    return await forms.change(visit, current, partial(_page, visit, machine), send)


async def _page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/start_order.html",
        title=text("Start order of {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        form_fields=[
            FormField(
                name="priority", label=text("Priority"), kind="number", minimum=0, help=text("Higher ones start first")
            ),
            FormField(name="delay", label=text("Seconds until the next VM starts"), kind="number", minimum=0),
        ],
        edit=edit,
        problems=refusal.problems,
    )


PAGES = form_pages("vms/<system_id>/start-order", start_order, permission=Permission.ADMIN)
