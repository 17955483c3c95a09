"""Inserts an ISO image into the drive of a VM, or ejects it."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.images.model import split_architecture
from regiond.machines.values.model import MachineView
from regiond.ui.forms.form_field import FormField
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle
from regiond.ui.machines.details.vm_form import Sent, VmForm, vm_form
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import text

IMAGE = "image"


async def iso(visit: Visit, machine: MachineView) -> VmForm:
    def sent(changes: Mapping[str, str]) -> Sent | None:
        if IMAGE not in changes:
            return None
        if image := changes[IMAGE]:
            done = text("{hostname} has {image} in its drive.", hostname=machine.hostname, image=image)
            return Sent(op="insert_iso", fields={IMAGE: image}, done=done)
        return Sent(op="eject_iso", done=text("{hostname} has no ISO image in its drive.", hostname=machine.hostname))

    boot = machine.boot
    return VmForm(
        title=text("ISO image of {hostname}", hostname=machine.hostname),
        crumb=text("ISO image"),
        tab=CONFIGURATION,
        obstacle=change_obstacle(visit.caller, machine),
        fields=[await _choice(visit, machine)],
        values={IMAGE: boot.iso if boot.next_iso is None else boot.next_iso},
        notes=[
            text(
                "The host gets a copy of the image. A VM that runs has it at once if its hypervisor can do that, else "
                "at its next start. The VM boots from it only if its boot order says so."
            )
        ],
        sent=sent,
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


PAGES = vm_form("iso", iso)
