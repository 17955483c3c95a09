"""Changes the cores and the RAM of a VM, and tells before what changes now and what at its next start."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.machines.model import MachineView
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import change_obstacle, read_vm
from regiond.ui.page import Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text

LEAST_MIB = 1024


async def resize(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine

    async def send(changes: Mapping[str, str]) -> Reply:
        if not changes:
            return redirect("vms", machine.system_id)
        answer = await visit.act(MACHINE, "POST", "resize", path={"system_id": machine.system_id}, fields=changes)
        done = text("{hostname} is resized", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, answer=answer, text=done)

    return await forms.change(visit, _values_of(machine), partial(_page, visit, machine), send)


async def _page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/resize.html",
        title=text("Resize {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        runs=machine.power_state != "off",
        form_fields=_fields(),
        edit=edit,
        problems=refusal.problems,
    )


def _fields() -> list[FormField]:
    return [
        FormField(name="cores", label=text("Cores"), kind="number", minimum=1),
        FormField(name="memory", label=text("RAM in MiB"), kind="number", minimum=LEAST_MIB),
    ]


def _values_of(machine: MachineView) -> dict[str, str]:
    """Returns what the VM has after its next start."""
    size = machine.pending_size
    return {
        "cores": str(size.cores if size else machine.cores),
        "memory": str(size.memory_mib if size else machine.memory_mib),
    }


PAGES = form_pages("vms/<system_id>/resize", resize, permission=Permission.OPERATOR)
