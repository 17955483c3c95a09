"""Changes what a VM boots from, at all its starts or at the next one only."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from common.boot import joined
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.machines.model import MachineView
from regiond.ui.boot_words import boot_orders, boot_words
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import TICK, FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle, read_vm
from regiond.ui.page import Visit, form_pages, redirect_with_note
from regiond.ui.texts import text

ORDER, ONCE = "order", "once"


async def boot(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine

    async def send(values: Mapping[str, str]) -> Reply:
        fields = {ORDER: values[ORDER], ONCE: values[ONCE] or "false"}
        answer = await visit.act(MACHINE, "POST", "set_boot", path={"system_id": machine.system_id}, fields=fields)
        done = text("What {hostname} boots from is changed.", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, CONFIGURATION, answer=answer, text=done)

    request = visit.request
    given = {ORDER: request.given(ORDER), ONCE: request.given(ONCE)}
    values = given if request.method == "POST" else {ORDER: joined(machine.boot.lasting or ()), ONCE: ""}
    return await forms.create(visit, values, partial(_page, visit, machine), send)


async def _page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/boot.html",
        title=text("Boot order of {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        runs=machine.power_state != "off",
        boot_words=boot_words,
        form_fields=_fields(machine),
        edit=edit,
        problems=refusal.problems,
    )


def _fields(machine: MachineView) -> list[FormField]:
    return [
        FormField(name=ORDER, label=text("Boot from"), kind="choice", options=boot_orders([machine])),
        FormField(name=ONCE, label=text("Only at the next start by Innkeeper"), kind=TICK),
    ]


PAGES = form_pages("vms/<system_id>/boot", boot, permission=Permission.OPERATOR)
