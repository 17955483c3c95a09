"""Changes what a VM boots from, at all its starts or at the next one only."""

from __future__ import annotations

from collections.abc import Mapping

from common.boot import joined
from regiond.machines.values.model import MachineView
from regiond.ui.forms.form_field import TICK, FormField
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle
from regiond.ui.machines.details.vm_form import Sent, VmForm, typed, vm_form
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import text
from regiond.ui.words.boot_words import boot_orders, boot_words

ORDER, ONCE = "order", "once"


async def boot(visit: Visit, machine: MachineView) -> VmForm:
    def sent(values: Mapping[str, str]) -> Sent:
        fields = {ORDER: values[ORDER], ONCE: values[ONCE] or "false"}
        done = text("What {hostname} boots from is changed.", hostname=machine.hostname)
        return Sent(op="set_boot", fields=fields, done=done)

    when = text("The VM is off, and boots so from its next start on.")
    if machine.power_state != "off":
        when = text(
            "The VM runs and is not disturbed. It boots so from its next start on; what its hypervisor cannot change "
            "now, Innkeeper changes when it next stops or starts the VM."
        )
    return VmForm(
        title=text("Boot order of {hostname}", hostname=machine.hostname),
        crumb=text("Boot order"),
        tab=CONFIGURATION,
        obstacle=change_obstacle(visit.caller, machine),
        fields=[
            FormField(name=ORDER, label=text("Boot from"), kind="choice", options=boot_orders([machine])),
            FormField(name=ONCE, label=text("Only at the next start by Innkeeper"), kind=TICK),
        ],
        values=typed(visit, {ORDER: joined(machine.boot.lasting or ()), ONCE: ""}),
        notes=[f"{when} {text('A restart inside the VM keeps the order with which it was started.')}"],
        button=text("Set boot order"),
        sent=sent,
        sends_all=True,
        template="machines/boot/boot.html",
        more={"boot_words": boot_words},
    )


PAGES = vm_form("boot", boot)
