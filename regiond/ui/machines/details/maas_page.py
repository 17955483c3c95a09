"""Registers a VM in a MAAS server, or ends that."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.machines.model import MachineView
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import CONFIGURATION, change_obstacle, read_vm
from regiond.ui.page import Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import constant, text

SERVER, HOW = "server", "how"
_FIELDS: Mapping[str, Mapping[str, str]] = {
    "commission": {},
    "wait": {"commission": "false"},
    "deployed": {"deployed": "true"},
}
_HOW = FormField(
    name=HOW,
    label=constant("What MAAS does with a VM that is registered now"),
    kind="choice",
    options=(
        ("commission", constant("Start it at once to commission it")),
        ("wait", constant("Nothing, until somebody asks there")),
        ("deployed", constant("Take it as deployed, as it runs")),
    ),
)


async def maas(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine

    async def send(changes: Mapping[str, str]) -> Reply:
        if SERVER not in changes:
            return redirect("vms", machine.system_id, CONFIGURATION)
        path, server = {"system_id": machine.system_id}, changes[SERVER]
        if server:
            fields = {SERVER: server, **_FIELDS.get(visit.request.given(HOW), {})}
            answer = await visit.act(MACHINE, "POST", "register_in_maas", path=path, fields=fields)
            done = text("{hostname} is registered in {server}.", hostname=machine.hostname, server=server)
        else:
            answer = await visit.act(MACHINE, "POST", "unregister_from_maas", path=path)
            done = text("{hostname} is no longer registered in MAAS.", hostname=machine.hostname)
        return redirect_with_note(visit, "vms", machine.system_id, CONFIGURATION, answer=answer, text=done)

    current = {SERVER: machine.maas_server or "", HOW: "commission"}
    return await forms.change(visit, current, partial(_page, visit, machine), send)


async def _page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/maas.html",
        title=text("MAAS of {hostname}", hostname=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        form_fields=[await _choice(visit, machine), *([] if machine.maas_server else [_HOW])],
        edit=edit,
        problems=refusal.problems,
    )


async def _choice(visit: Visit, machine: MachineView) -> FormField:
    """Returns the choice of a server; one in which it is registered can only be left."""
    present = machine.maas_server
    servers = [present] if present else [one.name for one in await visit.services.maas_servers.list()]
    return FormField(
        name=SERVER,
        label=text("MAAS server"),
        kind="choice",
        options=tuple((one, one) for one in servers),
        none_label=text("None"),
    )


PAGES = form_pages("vms/<system_id>/maas", maas, permission=Permission.OPERATOR)
