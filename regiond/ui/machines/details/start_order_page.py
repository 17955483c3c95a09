"""Changes when a VM starts with its host, among the others that do."""

from __future__ import annotations

from collections.abc import Mapping

from common.boot import StartOrder
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.ui.forms.form_field import FormField
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle
from regiond.ui.machines.details.shown_settings import Shown
from regiond.ui.machines.details.vm_form import Sent, VmForm, vm_form
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant, counted, text


async def start_order(visit: Visit, machine: MachineView) -> VmForm:
    def sent(changes: Mapping[str, str]) -> Sent | None:
        done = text("The start order of {hostname} is changed.", hostname=machine.hostname)
        return Sent(op="set_start_order", fields=changes, done=done) if changes else None

    order = machine.settings.start_order or StartOrder()
    return VmForm(
        title=text("Start order of {hostname}", hostname=machine.hostname),
        crumb=text("Start order"),
        tab=CONFIGURATION,
        obstacle=change_obstacle(visit.caller, machine),
        fields=[
            FormField(
                name="priority", label=text("Priority"), kind="number", minimum=0, help=text("Higher ones start first")
            ),
            FormField(name="delay", label=text("Seconds until the next VM starts"), kind="number", minimum=0),
        ],
        values={"priority": str(order.priority), "delay": str(order.delay_s)},
        notes=[
            text(
                "It counts among the VMs that start with their host, as their autostart says. Hypervisors such as "
                "libvirt start VMs in no order, and refuse this."
            )
        ],
        sent=sent,
    )


def _shown(machine: MachineView) -> str:
    order = machine.settings.start_order
    if order is None:
        return ""
    pause = counted("{n} second before the next VM", "{n} seconds before the next VM", order.delay_s)
    return f"{text('priority {n}', n=order.priority)}, {pause}"


SHOWN = (
    Shown(
        label=constant("Start order"),
        text_of=_shown,
        address="start-order",
        link=constant("Change start order"),
        permission=Permission.ADMIN,
    ),
)
PAGES = vm_form("start-order", start_order, permission=Permission.ADMIN)
