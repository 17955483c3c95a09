"""Changes a disk of a VM: its tags, whether it boots, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InnkeeperError, NotFound
from regiond.api.replies import Reply
from regiond.api.resources.machines.hardware.disks import BLOCK_DEVICE
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.core.nics.model import checked_tags
from regiond.machines.values.disks import DiskView
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import STORAGE, change_obstacle, read_vm
from regiond.ui.machines.details.notes_form import tag_changes
from regiond.ui.machines.details.vm_form import FormFact, VmForm, show_refused, vm_form
from regiond.ui.machines.disks.disk_form import TAGS, pool_fact, size_fact, tags_field
from regiond.ui.rendering.page import Page, Visit, redirect, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.views import formats


async def edit(visit: Visit, machine: MachineView) -> VmForm:
    disk = find_disk(machine, visit.path["disk"])
    path = {"system_id": machine.system_id, "id": str(disk.id)}

    async def send(changes: Mapping[str, str]) -> Reply:
        wanted = tag_changes(disk.tags, changes.get(TAGS, ", ".join(disk.tags)))
        checked_tags(wanted.add, field=TAGS, of="A disk")  # all before the first is added
        for op, names in (("add_tag", wanted.add), ("remove_tag", wanted.remove)):
            for name in names:
                await visit.act(BLOCK_DEVICE, "POST", op, path=path, fields={"tag": name})
        return redirect("vms", machine.system_id, STORAGE)

    serial = FormFact(label=text("Serial"), text=disk.serial or formats.DASH, is_code=True)
    return VmForm(
        title=text("{name} of {vm}", name=disk.title, vm=machine.hostname),
        tab=STORAGE,
        obstacle=change_obstacle(visit.caller, machine),
        facts=[size_fact(disk), pool_fact(disk), serial],
        fields=[tags_field()],
        values={TAGS: ", ".join(disk.tags)},
        sent=send,
        subject=text("this disk"),
        renamed={"tag": TAGS},
        template="machines/disks/disk.html",
    )


async def boot(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine
    disk = find_disk(machine, visit.path["disk"])
    path = {"system_id": machine.system_id, "id": str(disk.id)}
    try:
        answer = await visit.act(BLOCK_DEVICE, "POST", "set_boot_disk", path=path)
    except InnkeeperError as error:
        return await show_refused(visit, machine, await edit(visit, machine), Refusal.of(error))
    already = text("{hostname} boots from {title}", hostname=machine.hostname, title=disk.title)
    return redirect_with_note(visit, "vms", machine.system_id, STORAGE, answer=answer, text=already)


async def adopt(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine
    disk = find_disk(machine, visit.path["disk"])
    try:
        await visit.act(
            MACHINE, "POST", "adopt_disk", path={"system_id": machine.system_id}, fields={"disk": disk.id}
        )  # fmt: skip
    except InnkeeperError as error:
        return await show_refused(visit, machine, await edit(visit, machine), Refusal.of(error))
    return redirect("vms", machine.system_id, STORAGE)


async def to_storage(visit: Visit) -> Reply:
    """Answers a reload after an action that was refused."""
    return redirect("vms", visit.path["system_id"], STORAGE)


def find_disk(machine: MachineView, text: str) -> DiskView:
    """Returns the disk. Raises NotFound."""
    found = next((disk for disk in machine.disks if str(disk.id) == text), None)
    if found is None:
        raise NotFound(f"{machine.hostname} has no disk {text!r} any more.")
    return found


PAGES = (
    *vm_form("storage/<disk>", edit),
    Page(path="vms/<system_id>/storage/<disk>/adopt", handle=to_storage),
    Page(path="vms/<system_id>/storage/<disk>/adopt", method="POST", handle=adopt, permission=Permission.OPERATOR),
    Page(path="vms/<system_id>/storage/<disk>/boot", handle=to_storage),
    Page(path="vms/<system_id>/storage/<disk>/boot", method="POST", handle=boot, permission=Permission.OPERATOR),
)
