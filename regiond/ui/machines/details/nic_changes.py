"""Adds a NIC to a VM, connects one elsewhere, and removes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import evolve

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.core.nics.model import find_nic
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.networks.model import HostInterface
from regiond.requests.caller import Permission
from regiond.requests.identifiers import as_id
from regiond.ui.forms import question as questions
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.question import Question, Subject
from regiond.ui.machines.action_pages import since_of
from regiond.ui.machines.details.frame import NETWORK, change_obstacle, host_of, read_vm
from regiond.ui.machines.details.notes_form import names_in
from regiond.ui.machines.details.vm_form import Sent, VmForm, typed, vm_form
from regiond.ui.machines.machine_questions import SECTION, crumbs_of, detail_of
from regiond.ui.rendering.page import Visit, form_pages, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

NAME, SOURCE, ADDRESS, MAC, TAGS = "name", "source", "ip_address", "mac_address", "tags"
_OF_INTERFACES = "interfaces"
_RENAMED = {_OF_INTERFACES: SOURCE}  # there the API reports problems of the first three


async def add(visit: Visit, machine: MachineView) -> VmForm:
    name = free_name(machine.nics)

    def sent(values: Mapping[str, str]) -> Sent:
        fields = {
            _OF_INTERFACES: _constraint(values[NAME] or name, values[SOURCE], values[ADDRESS]),
            NAME: values[NAME] or None,
            MAC: values[MAC] or None,
            TAGS: list(names_in(values[TAGS])),
        }
        return Sent(
            op="add_interface", fields=fields, done=text("{hostname} has a new NIC.", hostname=machine.hostname)
        )

    when = text("The VM is off and gets the NIC at once.")
    if machine.power_state != "off":
        when = text(
            "The VM runs and gets the NIC at once. If its hypervisor cannot do that, nothing is changed: shut the VM "
            "down first."
        )
    return VmForm(
        title=text("Add a NIC to {hostname}", hostname=machine.hostname),
        tab=NETWORK,
        obstacle=change_obstacle(visit.caller, machine),
        fields=_fields(await _interfaces(visit, machine), name),
        values=typed(visit, dict.fromkeys((SOURCE, ADDRESS, NAME, MAC, TAGS), "")),
        notes=[f"{when} {text('The system in the VM configures it, or the next deployment does.')}"],
        button=text("Add NIC"),
        sent=sent,
        sends_all=True,
        is_once=True,
        renamed=_RENAMED,
    )


def _constraint(name: str, source: str, address: str) -> str:
    """Returns the interface constraint; empty if neither the source on the host nor the address is given."""
    wanted = [*([f"name={source}"] if source else []), *([f"ip={address}"] if address else [])]
    return f"{name}:{','.join(wanted)}" if wanted else ""


def free_name(nics: Iterable[NicView]) -> str:
    taken = {nic.name for nic in nics}
    return next(name for number in range(len(taken) + 1) if (name := f"eth{number}") not in taken)


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


async def change(visit: Visit, machine: MachineView) -> VmForm:
    nic = find_nic(machine, as_id(visit.path["nic"]) or 0)

    def sent(values: Mapping[str, str]) -> Sent:
        fields = {
            "interface": nic.id,
            _OF_INTERFACES: _constraint(nic.name, values[SOURCE], values[ADDRESS]),
            MAC: values[MAC] if values[MAC].lower() != nic.mac_address else None,
        }
        done = text("{name} of {hostname} has changed.", name=nic.name, hostname=machine.hostname)
        return Sent(op="change_interface", fields=fields, done=done)

    fields = {one.name: one for one in _fields(await _interfaces(visit, machine), nic.name)}
    now = text("It stays on {source}", source=nic.source or nic.kind)
    when = text("The VM is off: the NIC changes at once.")
    if machine.power_state != "off":
        when = text(
            "The VM runs. libvirt connects it to another network at once; what cannot be changed while it runs is "
            "refused, and nothing has changed: shut the VM down first."
        )
    address = text(
        "Without an address, the NIC gives up the one that it has when its network changes. The system in the VM "
        "configures it anew, or the next deployment does."
    )
    return VmForm(
        title=text("Connect {name} of {hostname} elsewhere", name=nic.name, hostname=machine.hostname),
        tab=NETWORK,
        obstacle=change_obstacle(visit.caller, machine),
        fields=[
            evolve(fields[SOURCE], none_label=now, help=text("The interfaces and networks of its host")),
            fields[ADDRESS],
            evolve(fields[MAC], optional=False, help=text("Changes only while the VM is off")),
        ],
        values=typed(visit, {SOURCE: "", ADDRESS: "", MAC: nic.mac_address}),
        notes=[f"{when} {address}"],
        button=text("Change NIC"),
        sent=sent,
        sends_all=True,
        is_once=True,
        renamed=_RENAMED,
        template="machines/nics/change_nic.html",
        more={"nic": nic},
    )


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
    *vm_form("network/add", add),
    *vm_form("network/<nic>/change", change),
    *form_pages("vms/<system_id>/network/<nic>/remove", remove, permission=Permission.OPERATOR),
)
