"""Adds a disk to a VM, attaches a kept one, grows and moves one: forms."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

from common.errors import InvalidRequest
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.machines.model import DiskView, MachineView
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.lists.kept_disks import kept_choices
from regiond.ui.machines.details.frame import STORAGE, change_obstacle, host_of, move_obstacle, read_vm
from regiond.ui.machines.details.notes_form import names_in
from regiond.ui.machines.disks.disk_form import (
    POOL,
    SIZE,
    TAGS,
    add_fields,
    grow_fields,
    move_fields,
    size_in_gb,
    size_to_send,
)
from regiond.ui.machines.disks.disk_pages import find_disk
from regiond.ui.page import Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import text

KEPT_DISK = "kept_disk"


async def add(visit: Visit) -> Reply:
    request, machine = visit.request, (await read_vm(visit)).machine

    async def send(values: Mapping[str, str]) -> Reply:
        answer = await visit.act(
            MACHINE, "POST", "add_disk",
            path={"system_id": machine.system_id},
            fields={SIZE: values[SIZE], POOL: values[POOL] or None, TAGS: list(names_in(values[TAGS]))},
            idempotency_key=request.given("once") or None,
        )  # fmt: skip
        done = text("{hostname} has a new disk.", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, STORAGE, answer=answer, text=done)

    values = {name: request.given(name) for name in (SIZE, POOL, TAGS)}
    return await forms.create(visit, values, partial(_add_page, visit, machine), send)


async def _add_page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/add_disk.html",
        title=text("Add a disk to {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        form_fields=add_fields(await host_of(visit, machine)),
        edit=edit,
        once=visit.request.given("once") or secrets.token_urlsafe(16),
        problems=refusal.problems,
    )


async def attach(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine

    async def send(values: Mapping[str, str]) -> Reply:
        if not values[KEPT_DISK]:
            raise InvalidRequest.of({KEPT_DISK: [text("Choose a disk.")]})
        answer = await visit.act(
            MACHINE, "POST", "attach_disk", path={"system_id": machine.system_id}, fields=values
        )  # fmt: skip
        done = text("{hostname} has the disk.", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, STORAGE, answer=answer, text=done)

    values = {KEPT_DISK: visit.request.given(KEPT_DISK, visit.request.option(KEPT_DISK))}
    return await forms.create(visit, values, partial(_attach_page, visit, machine), send)


async def _attach_page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    kept = await visit.services.kept_disks.list(visit.caller, host_id=machine.host_id) if machine.host_id else ()
    return await visit.page(
        "machines/attach_disk.html",
        title=text("Attach a kept disk to {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        choices=kept_choices(visit.caller, kept),
        edit=edit,
        problems=refusal.problems,
    )


async def grow(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine
    disk = find_disk(machine, visit.path["disk"])

    async def send(changes: Mapping[str, str]) -> Reply:
        if SIZE not in changes:
            return redirect("vms", machine.system_id, STORAGE)
        answer = await visit.act(
            MACHINE, "POST", "grow_disk",
            path={"system_id": machine.system_id},
            fields={"disk": disk.id, SIZE: size_to_send(disk, changes[SIZE])},
        )  # fmt: skip
        done = text("{name} of {vm} is changed.", name=disk.title, vm=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, STORAGE, answer=answer, text=done)

    current = {SIZE: size_in_gb(disk.held_bytes)}
    return await forms.change(visit, current, partial(_grow_page, visit, machine, disk), send)


async def _grow_page(visit: Visit, machine: MachineView, disk: DiskView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/grow_disk.html",
        title=text("Grow {name} of {vm}", name=disk.title, vm=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        disk=disk,
        obstacle=change_obstacle(visit.caller, machine),
        form_fields=grow_fields(),
        edit=edit,
        problems=refusal.problems,
    )


async def move(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine
    disk = find_disk(machine, visit.path["disk"])

    async def send(values: Mapping[str, str]) -> Reply:
        if not values[POOL]:
            raise InvalidRequest.of({POOL: [text("Choose a storage pool.")]})
        answer = await visit.act(
            MACHINE, "POST", "move_disk",
            path={"system_id": machine.system_id},
            fields={"disk": disk.id, POOL: values[POOL]},
        )  # fmt: skip
        done = text("{name} of {vm} is moved.", name=disk.title, vm=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, STORAGE, answer=answer, text=done)

    values = {POOL: visit.request.given(POOL)}
    return await forms.create(visit, values, partial(_move_page, visit, machine, disk), send)


async def _move_page(visit: Visit, machine: MachineView, disk: DiskView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/move_disk.html",
        title=text("Move {name} of {vm}", name=disk.title, vm=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        disk=disk,
        obstacle=change_obstacle(visit.caller, machine) or move_obstacle(machine, disk),
        form_fields=move_fields(await host_of(visit, machine), disk),
        edit=edit,
        problems=refusal.problems,
    )


PAGES = (
    *form_pages("vms/<system_id>/storage/add", add, permission=Permission.OPERATOR),
    *form_pages("vms/<system_id>/storage/attach", attach, permission=Permission.OPERATOR),
    *form_pages("vms/<system_id>/storage/<disk>/grow", grow, permission=Permission.OPERATOR),
    *form_pages("vms/<system_id>/storage/<disk>/move", move, permission=Permission.OPERATOR),
)
