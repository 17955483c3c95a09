"""Deploys a VM: asks for the image and the user data, and says what will happen."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import partial

from common.errors import InvalidRequest
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.action_pages import stay
from regiond.ui.machines.deploy_form import (
    ImageChoice,
    encoded_user_data,
    image_choices,
    image_problems,
    root_disk_bytes,
    vm_host_choices,
    with_vm_host,
)
from regiond.ui.machines.machine_actions import deployment_obstacle
from regiond.ui.rendering.page import Visit, form_pages
from regiond.ui.texts import text

_FIELDS = ("distro_series", "user_data", "vm_host", "comment")


async def deploy(visit: Visit) -> Reply:
    request = visit.request
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)

    async def send(values: Mapping[str, str]) -> Reply:
        if problems := image_problems(values):
            raise InvalidRequest.of(problems)
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
        choices = image_choices(await visit.services.images.list(), machine)
        values["distro_series"] = await usable_default(visit, [machine], choices)
    return await forms.create(visit, values, partial(_page, visit, machine), send)


async def usable_default(visit: Visit, machines: Iterable[MachineView], choices: Iterable[ImageChoice]) -> str:
    """Returns the name of the default image; empty if a VM cannot be deployed with it, so that one is chosen."""
    usable = {choice.name for choice in choices if not choice.obstacle}
    found = [await visit.services.images.find_default(one) for one in {machine.architecture for machine in machines}]
    names = {"" if image is None else image.name for image in found}
    return names.pop() if len(names) == 1 and names <= usable else ""


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
