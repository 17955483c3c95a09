"""Changes a disk of a VM: its tags, whether it boots, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import InnkeeperError, NotFound
from regiond.api.replies import Reply
from regiond.api.resources.machines.disks import BLOCK_DEVICE
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.machines.model import DiskView, MachineView
from regiond.machines.nics.model import checked_tags
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import STORAGE, change_obstacle, read_vm
from regiond.ui.machines.details.notes_form import TAGS, tag_changes
from regiond.ui.page import Page, Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text


async def edit(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine
    disk = find_disk(machine, visit.path["disk"])
    path = {"system_id": machine.system_id, "id": str(disk.id)}

    async def send(changes: Mapping[str, str]) -> Reply:
        wanted = tag_changes(disk.tags, changes.get(TAGS, ", ".join(disk.tags)))
        checked_tags(wanted.add, field=TAGS, of="A disk")  # all before the first is added
        for op, names in (("add_tag", wanted.add), ("remove_tag", wanted.remove)):
            for name in names:
                await visit.act(BLOCK_DEVICE, "POST", op, path=path, fields={"tag": name})
        return redirect("vms", machine.system_id, STORAGE)

    async def show(edit: Edit, refusal: Refusal) -> Reply:
        return await _page(visit, machine, disk, edit, refusal)

    return await forms.change(visit, _values_of(disk), show, send)


async def boot(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine
    disk = find_disk(machine, visit.path["disk"])
    path = {"system_id": machine.system_id, "id": str(disk.id)}
    try:
        answer = await visit.act(BLOCK_DEVICE, "POST", "set_boot_disk", path=path)
    except InnkeeperError as error:
        unchanged = Edit(values=_values_of(disk), current=_values_of(disk))
        return await _page(visit, machine, disk, unchanged, Refusal.of(error))
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
        unchanged = Edit(values=_values_of(disk), current=_values_of(disk))
        return await _page(visit, machine, disk, unchanged, Refusal.of(error))
    return redirect("vms", machine.system_id, STORAGE)


async def to_storage(visit: Visit) -> Reply:
    """Answers a reload after an action that was refused."""
    return redirect("vms", visit.path["system_id"], STORAGE)


async def _page(visit: Visit, machine: MachineView, disk: DiskView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/disk.html",
        title=text("{name} of {vm}", name=disk.title, vm=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        disk=disk,
        obstacle=change_obstacle(visit.caller, machine),
        edit=edit,
        problems={TAGS if name == "tag" else name: texts for name, texts in refusal.problems.items()},
    )


def _values_of(disk: DiskView) -> dict[str, str]:
    return {TAGS: ", ".join(disk.tags)}


def find_disk(machine: MachineView, text: str) -> DiskView:
    """Returns the disk. Raises NotFound."""
    found = next((disk for disk in machine.disks if str(disk.id) == text), None)
    if found is None:
        raise NotFound(f"{machine.hostname} has no disk {text!r} any more.")
    return found


PAGES = (
    *form_pages("vms/<system_id>/storage/<disk>", edit, permission=Permission.OPERATOR),
    Page(path="vms/<system_id>/storage/<disk>/adopt", handle=to_storage),
    Page(path="vms/<system_id>/storage/<disk>/adopt", method="POST", handle=adopt, permission=Permission.OPERATOR),
    Page(path="vms/<system_id>/storage/<disk>/boot", handle=to_storage),
    Page(path="vms/<system_id>/storage/<disk>/boot", method="POST", handle=boot, permission=Permission.OPERATOR),
)
