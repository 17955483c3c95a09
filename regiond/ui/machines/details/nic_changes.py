"""Adds a NIC to a VM, connects one elsewhere, and removes one."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from attrs import evolve

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.caller import Permission
from regiond.identifiers import as_id
from regiond.machines.model import MachineView, NicView
from regiond.machines.nics.model import find_nic
from regiond.networks.model import HostInterface
from regiond.ui.forms import forms
from regiond.ui.forms import question as questions
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import Question, Subject
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.action_pages import since_of
from regiond.ui.machines.details.frame import NETWORK, change_obstacle, host_of, read_vm
from regiond.ui.machines.details.notes_form import names_in
from regiond.ui.machines.machine_questions import SECTION, crumbs_of, detail_of
from regiond.ui.page import Visit, form_pages, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

NAME, SOURCE, ADDRESS, MAC, TAGS = "name", "source", "ip_address", "mac_address", "tags"
_OF_INTERFACES = "interfaces"  # the field of the API in which problems of the first three are reported


async def add(visit: Visit) -> Reply:
    request, machine = visit.request, (await read_vm(visit)).machine

    async def send(values: Mapping[str, str]) -> Reply:
        answer = await visit.act(
            MACHINE, "POST", "add_interface",
            path={"system_id": machine.system_id},
            fields={
                _OF_INTERFACES: _constraint(values[NAME] or free_name(machine.nics), values[SOURCE], values[ADDRESS]),
                NAME: values[NAME] or None,
                MAC: values[MAC] or None,
                TAGS: list(names_in(values[TAGS])),
            },
            idempotency_key=request.given("once") or None,
        )  # fmt: skip
        done = text("{hostname} has a new NIC.", hostname=machine.hostname)
        return redirect_with_note(visit, SECTION, machine.system_id, NETWORK, answer=answer, text=done)

    values = {name: request.given(name) for name in (SOURCE, ADDRESS, NAME, MAC, TAGS)}
    return await forms.create(visit, values, partial(_page, visit, machine), send)


def _constraint(name: str, source: str, address: str) -> str:
    """Returns the interface constraint; empty if neither the source on the host nor the address is given."""
    wanted = [*([f"name={source}"] if source else []), *([f"ip={address}"] if address else [])]
    return f"{name}:{','.join(wanted)}" if wanted else ""


def free_name(nics: Iterable[NicView]) -> str:
    taken = {nic.name for nic in nics}
    return next(name for number in range(len(taken) + 1) if (name := f"eth{number}") not in taken)


async def _page(visit: Visit, machine: MachineView, edit: Edit, refusal: Refusal) -> Reply:
    found = await _interfaces(visit, machine)
    return await visit.page(
        "machines/add_nic.html",
        title=text("Add a NIC to {hostname}", hostname=machine.hostname),
        section=SECTION,
        status=refusal.status,
        vm=machine,
        obstacle=change_obstacle(visit.caller, machine),
        form_fields=_fields(found, free_name(machine.nics)),
        edit=edit,
        once=visit.request.given("once") or secrets.token_urlsafe(16),
        problems=_problems(refusal),
    )


def _fields(interfaces: Iterable[HostInterface], name: str) -> list[FormField]:
    options = tuple((one.name, _title(one)) for one in interfaces if one.attachable and one.missing_since is None)
    return [
        FormField(
            name=SOURCE,
            label=text("Network"),
            kind="choice",
            options=options,
            none_label=text("Automatic"),
            optional=True,
            help=text("Automatic: the default network of the host"),
        ),
        FormField(
            name=ADDRESS,
            label=text("IP address"),
            optional=True,
            help=text("Of a subnet of that network; without one, the system in the VM asks by DHCP"),
        ),
        FormField(name=NAME, label=text("Name"), optional=True, help=text("Without one: {name}", name=name)),
        FormField(
            name=MAC, label=text("MAC address"), optional=True, help=text("Without one, an unused one is chosen")
        ),
        FormField(name=TAGS, label=text("Tags"), optional=True, help=text("Names, separated by commas")),
    ]


async def change(visit: Visit) -> Reply:
    request, machine = visit.request, (await read_vm(visit)).machine
    nic = find_nic(machine, as_id(visit.path["nic"]) or 0)

    async def send(values: Mapping[str, str]) -> Reply:
        answer = await visit.act(
            MACHINE, "POST", "change_interface",
            path={"system_id": machine.system_id},
            fields={
                "interface": nic.id,
                _OF_INTERFACES: _constraint(nic.name, values[SOURCE], values[ADDRESS]),
                MAC: values[MAC] if values[MAC].lower() != nic.mac_address else None,
            },
            idempotency_key=request.given("once") or None,
        )  # fmt: skip
        done = text("{name} of {hostname} has changed.", name=nic.name, hostname=machine.hostname)
        return redirect_with_note(visit, SECTION, machine.system_id, NETWORK, answer=answer, text=done)

    values = {name: request.given(name) for name in (SOURCE, ADDRESS, MAC)}
    if request.method != "POST":
        values[MAC] = nic.mac_address
    return await forms.create(visit, values, partial(_change_page, visit, machine, nic), send)


async def _change_page(visit: Visit, machine: MachineView, nic: NicView, edit: Edit, refusal: Refusal) -> Reply:
    fields = {one.name: one for one in _fields(await _interfaces(visit, machine), nic.name)}
    now = text("It stays on {source}", source=nic.source or nic.kind)
    return await visit.page(
        "machines/change_nic.html",
        title=text("Connect {name} of {hostname} elsewhere", name=nic.name, hostname=machine.hostname),
        section=SECTION,
        status=refusal.status,
        vm=machine,
        nic=nic,
        obstacle=change_obstacle(visit.caller, machine),
        form_fields=[
            evolve(fields[SOURCE], none_label=now, help=text("The interfaces and networks of its host")),
            fields[ADDRESS],
            evolve(fields[MAC], optional=False, help=text("Changes only while the VM is off")),
        ],
        edit=edit,
        once=visit.request.given("once") or secrets.token_urlsafe(16),
        problems=_problems(refusal),
    )


def _problems(refusal: Refusal) -> Mapping[str, Any]:
    return {SOURCE if name == _OF_INTERFACES else name: texts for name, texts in refusal.problems.items()}


async def _interfaces(visit: Visit, machine: MachineView) -> Iterable[HostInterface]:
    host = await host_of(visit, machine)
    return () if host is None else await visit.services.networks.interfaces(host.system_id, caller=visit.caller)


def _title(one: HostInterface) -> str:
    if one.vlan is None:
        return f"{one.name} ({one.kind})"
    return text("{name} ({kind}, VLAN {tag} of {fabric})", name=one.name, kind=one.kind, tag=one.vlan.vid,
                fabric=one.vlan.fabric_name)  # fmt: skip


async def remove(visit: Visit) -> Reply:
    machine = (await read_vm(visit)).machine
    nic = find_nic(machine, as_id(visit.path["nic"]) or 0)

    async def run() -> Reply:
        answer = await _send(visit, machine, nic)
        done = text("{hostname} no longer has {name}.", hostname=machine.hostname, name=nic.name)
        return redirect_with_note(visit, SECTION, machine.system_id, NETWORK, answer=answer, text=done)

    plan: Any = await _send(visit, machine, nic, dry_run="true")
    question = removal_question(machine, nic, detail_of(machine, await since_of(visit, machine), visit.now))
    return await questions.ask(visit, evolve(question, effects=tuple(plan["effects"])), run)


async def _send(visit: Visit, machine: MachineView, nic: NicView, **more: str) -> Any:
    return await visit.act(
        MACHINE, "POST", "remove_interface",
        path={"system_id": machine.system_id},
        fields={"interface": nic.id, **more},
    )  # fmt: skip


def removal_question(machine: MachineView, nic: NicView, detail: str) -> Question:
    return Question(
        title=text("Remove {name} of {vm}?", name=nic.name, vm=machine.hostname),
        section=SECTION,
        crumbs=(*crumbs_of(machine), (text("Network"), page_url(SECTION, machine.system_id, NETWORK))),
        button=text("Remove NIC"),
        back=page_url(SECTION, machine.system_id, NETWORK),
        undo=text("Another NIC can be added; it gets another MAC address."),
        subjects=(
            Subject(name=nic.name, detail=nic.mac_address),
            Subject(name=machine.hostname, detail=detail),
        ),
        is_dangerous=True,
    )


PAGES = (
    *form_pages("vms/<system_id>/network/add", add, permission=Permission.OPERATOR),
    *form_pages("vms/<system_id>/network/<nic>/change", change, permission=Permission.OPERATOR),
    *form_pages("vms/<system_id>/network/<nic>/remove", remove, permission=Permission.OPERATOR),
)
