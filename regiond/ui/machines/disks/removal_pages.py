"""Takes a disk from a VM, and deletes a kept disk: questions that say what becomes of the data."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from common.errors import NotFound
from regiond.api.replies import Reply
from regiond.api.resources.machines.hardware import kept_disks
from regiond.api.resources.machines.machines import MACHINE
from regiond.api.resources.shared.lookups import find_host
from regiond.machines.values.disks import DiskView, KeptDisk
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.ui.forms import question as questions
from regiond.ui.forms.question import NO_UNDO, Question, Subject
from regiond.ui.lists.kept_disks import title_of
from regiond.ui.machines.action_pages import since_of
from regiond.ui.machines.details.frame import STORAGE, read_vm
from regiond.ui.machines.disks.disk_pages import find_disk
from regiond.ui.machines.machine_questions import SECTION, crumbs_of, detail_of
from regiond.ui.rendering.page import Visit, form_pages, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.views import formats
from regiond.ui.web_request import page_url

CONTENT, KEEP, DELETE = "content", "keep", "delete"


@frozen(kw_only=True)
class Fate:
    """A choice of what becomes of the disk, with what its dry run says beyond the other choice's."""

    value: str
    label: str
    effects: tuple[str, ...]


async def remove(visit: Visit) -> Reply:
    """The form shows the effects of both choices, so that an answer is checked against what was read."""
    machine = (await read_vm(visit)).machine
    disk = find_disk(machine, visit.path["disk"])
    plans = {keep: await _plan(visit, machine, disk, keep=keep) for keep in (True, False)}
    shared = [one for one in plans[True]["effects"] if one in plans[False]["effects"]]
    chosen = DELETE if visit.request.given(CONTENT) == DELETE else KEEP

    async def run() -> Reply:
        answer = await visit.act(
            MACHINE, "POST", "remove_disk",
            path={"system_id": machine.system_id},
            fields={"disk": disk.id, "keep": "false" if chosen == DELETE else "true"},
        )  # fmt: skip
        done = text("{hostname} no longer has {name}.", hostname=machine.hostname, name=disk.title)
        return redirect_with_note(visit, SECTION, machine.system_id, STORAGE, answer=answer, text=done)

    question = removal_question(machine, disk, detail_of(machine, await since_of(visit, machine), visit.now))
    return await questions.ask(
        visit,
        evolve(question, typed=machine.hostname if chosen == DELETE else ""),
        run,
        template="machines/disks/remove_disk.html",
        plan={"effects": [*plans[True]["effects"], *plans[False]["effects"]]},
        shared=shared,
        fates=(
            Fate(
                value=KEEP,
                label=text("Keep the disk with its content"),
                effects=tuple(one for one in plans[True]["effects"] if one not in shared),
            ),
            Fate(
                value=DELETE,
                label=text("Delete it with all data"),
                effects=tuple(one for one in plans[False]["effects"] if one not in shared),
            ),
        ),
        chosen=chosen,
        to_type=machine.hostname,
    )


async def _plan(visit: Visit, machine: MachineView, disk: DiskView, *, keep: bool) -> Any:
    return await visit.act(
        MACHINE, "POST", "remove_disk",
        path={"system_id": machine.system_id},
        fields={"disk": disk.id, "keep": "true" if keep else "false", "dry_run": "true"},
    )  # fmt: skip


def removal_question(machine: MachineView, disk: DiskView, detail: str) -> Question:
    return Question(
        title=text("Remove {name} of {vm}?", name=disk.title, vm=machine.hostname),
        section=SECTION,
        crumbs=(*crumbs_of(machine), (text("Storage"), page_url(SECTION, machine.system_id, STORAGE))),
        button=text("Remove disk"),
        back=page_url(SECTION, machine.system_id, STORAGE),
        undo=text("A kept disk can be attached again. Deleted data cannot be restored."),
        subjects=(
            Subject(
                name=disk.title,
                detail=text(
                    "{size} in {pool}", size=formats.storage(disk.size_bytes), pool=disk.storage_pool_name
                ),
            ),
            Subject(name=machine.hostname, detail=detail),
        ),
        is_dangerous=True,
    )  # fmt: skip


async def delete(visit: Visit) -> Reply:
    host = await find_host(visit.services, {"id": visit.path["host"]})
    found = await visit.services.kept_disks.list(visit.caller, host_id=host.id)
    disk = next((one for one in found if str(one.id) == visit.path["disk"]), None)
    if disk is None:
        raise NotFound(f"{host.name} has no kept disk {visit.path['disk']!r} any more.")

    path = {"id": str(disk.id)}
    plan = await visit.act(kept_disks.KEPT_DISK, "DELETE", path=path, fields={"dry_run": "true"})

    async def run() -> Reply:
        answer = await visit.act(kept_disks.KEPT_DISK, "DELETE", path=path)
        done = text("The disk {disk} is deleted.", disk=title_of(disk))
        return redirect_with_note(visit, "hosts", host.id, "resources", answer=answer, text=done)

    return await questions.ask(visit, deletion_question(disk, visit), run, plan=plan)


def deletion_question(disk: KeptDisk, visit: Visit) -> Question:
    resources = page_url("hosts", disk.host_id, "resources")
    return Question(
        title=text("Delete {name}?", name=title_of(disk)),
        section="hosts",
        crumbs=((text("Hosts"), page_url("hosts")), (disk.host_name, resources)),
        button=text("Delete disk"),
        back=resources,
        undo=NO_UNDO,
        subjects=(
            Subject(
                name=title_of(disk),
                detail=text(
                    "{size} in {pool}, kept since {time}",
                    size=formats.storage(disk.size_bytes),
                    pool=disk.storage_pool_name,
                    time=formats.clock(disk.kept_at, visit.now),
                ),
            ),
        ),
        typed=disk.hostname,
        is_dangerous=True,
    )


PAGES = (
    *form_pages("vms/<system_id>/storage/<disk>/remove", remove, permission=Permission.OPERATOR),
    *form_pages("hosts/<host>/kept-disks/<disk>/delete", delete, permission=Permission.OPERATOR),
)
