"""Adds a disk to a VM, attaches a kept one, grows and moves one: forms."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InvalidRequest
from regiond.machines.values.model import MachineView
from regiond.ui.forms.form_field import FormField
from regiond.ui.lists.kept_disks import kept_choices
from regiond.ui.machines.details.frame import STORAGE, change_obstacle, host_of, move_obstacle
from regiond.ui.machines.details.notes_form import names_in
from regiond.ui.machines.details.vm_form import Sent, VmForm, typed, vm_form
from regiond.ui.machines.disks.disk_form import (
    POOL,
    SIZE,
    TAGS,
    add_fields,
    facts_with_pending,
    grow_fields,
    move_fields,
    size_in_gb,
    size_to_send,
)
from regiond.ui.machines.disks.disk_pages import find_disk
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import text

KEPT_DISK = "kept_disk"


async def add(visit: Visit, machine: MachineView) -> VmForm:
    def sent(values: Mapping[str, str]) -> Sent:
        fields = {SIZE: values[SIZE], POOL: values[POOL] or None, TAGS: list(names_in(values[TAGS]))}
        return Sent(op="add_disk", fields=fields, done=text("{hostname} has a new disk.", hostname=machine.hostname))

    when = text("The VM is off and gets the empty disk at once.")
    if machine.power_state != "off":
        when = text(
            "The VM runs and gets the empty disk at once. If its hypervisor cannot do that, nothing is changed: shut "
            "the VM down first."
        )
    return VmForm(
        title=text("Add a disk to {hostname}", hostname=machine.hostname),
        tab=STORAGE,
        obstacle=change_obstacle(visit.caller, machine),
        fields=add_fields(await host_of(visit, machine)),
        values=typed(visit, {SIZE: "", POOL: "", TAGS: ""}),
        notes=[f"{when} {text('Its space is claimed at once.')}"],
        button=text("Add disk"),
        sent=sent,
        sends_all=True,
        is_once=True,
    )


async def attach(visit: Visit, machine: MachineView) -> VmForm:
    def sent(values: Mapping[str, str]) -> Sent:
        if not values[KEPT_DISK]:
            raise InvalidRequest.of({KEPT_DISK: [text("Choose a disk.")]})
        return Sent(op="attach_disk", fields=values, done=text("{hostname} has the disk.", hostname=machine.hostname))

    kept = await visit.services.kept_disks.list(visit.caller, host_id=machine.host_id) if machine.host_id else ()
    runs = text("It runs: if its hypervisor cannot attach a disk now, nothing is changed.")
    notes = [
        text("The VM gets the disk with its content."),
        *([runs] if machine.power_state != "off" else []),
        text("When the VM is deleted, the disk is kept again."),
    ]
    return VmForm(
        title=text("Attach a kept disk to {hostname}", hostname=machine.hostname),
        tab=STORAGE,
        obstacle=change_obstacle(visit.caller, machine),
        fields=[FormField(name=KEPT_DISK, label=text("Kept disk"))],
        values={KEPT_DISK: visit.request.given(KEPT_DISK, visit.request.option(KEPT_DISK))},
        notes=[" ".join(notes)],
        button=text("Attach disk"),
        sent=sent,
        sends_all=True,
        template="machines/disks/attach_disk.html",
        more={"choices": kept_choices(visit.caller, kept)},
    )


async def grow(visit: Visit, machine: MachineView) -> VmForm:
    disk = find_disk(machine, visit.path["disk"])

    def sent(changes: Mapping[str, str]) -> Sent | None:
        if SIZE not in changes:
            return None
        fields = {"disk": disk.id, SIZE: size_to_send(disk, changes[SIZE])}
        done = text("{name} of {vm} is changed.", name=disk.title, vm=machine.hostname)
        return Sent(op="grow_disk", fields=fields, done=done)

    when = text("The VM is off and the disk gets its new size at once.")
    if machine.power_state != "off":
        when = text(
            "The VM runs. If its hypervisor cannot grow the disk now, the disk gets its new size when Innkeeper next "
            "starts the VM."
        )
    pending = text("With the present size, nothing is pending any more.")
    notes = [
        when,
        text("What the disk gets more is claimed at once."),
        *([pending] if disk.pending_size_bytes else []),
    ]
    return VmForm(
        title=text("Grow {name} of {vm}", name=disk.title, vm=machine.hostname),
        tab=STORAGE,
        obstacle=change_obstacle(visit.caller, machine),
        facts=facts_with_pending(disk),
        fields=grow_fields(),
        values={SIZE: size_in_gb(disk.held_bytes)},
        notes=[" ".join(notes), text("A disk never gets smaller. Grow the file system in the guest afterwards.")],
        button=text("Grow disk"),
        sent=sent,
        subject=text("this disk"),
    )


async def move(visit: Visit, machine: MachineView) -> VmForm:
    disk = find_disk(machine, visit.path["disk"])

    def sent(values: Mapping[str, str]) -> Sent:
        if not values[POOL]:
            raise InvalidRequest.of({POOL: [text("Choose a storage pool.")]})
        done = text("{name} of {vm} is moved.", name=disk.title, vm=machine.hostname)
        return Sent(op="move_disk", fields={"disk": disk.id, POOL: values[POOL]}, done=done)

    fields = move_fields(await host_of(visit, machine), disk)
    nowhere = text("{host} has no other storage pool that can take the disk.", host=machine.host_name)
    power = text("The VM stays off meanwhile.") if machine.power_state == "off" else text("The VM keeps running.")
    return VmForm(
        title=text("Move {name} of {vm}", name=disk.title, vm=machine.hostname),
        tab=STORAGE,
        obstacle=change_obstacle(visit.caller, machine) or move_obstacle(machine, disk) or ("" if fields else nowhere),
        facts=facts_with_pending(disk),
        fields=fields,
        values=typed(visit, {POOL: ""}),
        notes=[
            text(
                "The disk is copied with its content. The volume of before is deleted only when the VM uses the "
                "complete copy; a failure leaves the disk where it is."
            ),
            f"{text('The space of the copy is claimed at once. A large disk takes minutes.')} {power}",
        ],
        button=text("Move disk"),
        sent=sent,
        sends_all=True,
    )


PAGES = (
    *vm_form("storage/add", add),
    *vm_form("storage/attach", attach),
    *vm_form("storage/<disk>/grow", grow),
    *vm_form("storage/<disk>/move", move),
)
