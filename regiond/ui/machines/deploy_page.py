"""Deploys a VM: asks for the image and the user data, and says what will happen."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.machines.model import MachineView
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.action_pages import stay
from regiond.ui.machines.deploy_form import (
    encoded_user_data,
    image_choices,
    root_disk_bytes,
    vm_host_choices,
    with_vm_host,
)
from regiond.ui.machines.machine_actions import deployment_obstacle
from regiond.ui.page import Visit, form_pages
from regiond.ui.texts import text

_FIELDS = ("distro_series", "user_data", "vm_host", "comment")


async def deploy(visit: Visit) -> Reply:
    request = visit.request
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)

    async def send(values: Mapping[str, str]) -> Reply:
        found = await visit.act(
            MACHINE,
            "POST",
            "deploy",
            path={"system_id": machine.system_id},
            fields={**with_vm_host(values), "user_data": encoded_user_data(values["user_data"])},
            idempotency_key=request.given("once") or None,
        )
        return stay(visit, machine, found)

    values = {name: request.given(name) for name in _FIELDS}
    if request.method != "POST":
        values["distro_series"] = await _usable_default(visit, machine)
    return await forms.create(visit, values, partial(_page, visit, machine), send)


async def _usable_default(visit: Visit, machine: MachineView) -> str:
    """Returns the name of the default image; empty if the VM cannot be deployed with it, so that one is chosen."""
    default = await visit.services.images.find_default(machine.architecture)
    usable = {
        choice.name for choice in image_choices(await visit.services.images.list(), machine) if not choice.obstacle
    }
    return default.name if default is not None and default.name in usable else ""


async def _page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    services, owner = visit.services, machine.owner or visit.caller.username
    choices = image_choices(await services.images.list(), machine)
    return await visit.page(
        "machines/deploy.html",
        title=text("Deploy {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=deployment_obstacle(visit.caller, machine),
        choices=choices,
        vm_host_choices=vm_host_choices(machine, is_admin=visit.caller.is_admin),
        is_possible=any(not choice.obstacle for choice in choices),
        root_disk_bytes=root_disk_bytes(machine),
        owner=owner,
        key_count=await services.ssh_keys.count_of(owner),
        values=edit.values,
        problems=refusal.problems,
        once=visit.request.given("once") or secrets.token_urlsafe(16),
    )


PAGES = form_pages("vms/<system_id>/deploy", deploy, permission=Permission.OPERATOR)
