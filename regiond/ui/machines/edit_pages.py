"""Edits a VM: its name, description, groups, owner data and workload annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import frozen

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.hosts.model import AS_ABOVE
from regiond.machines.values.model import MachineView
from regiond.placement.affinity import Policy
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.owner_data import changed_data, data_fields, data_values, new_key
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.action_pages import read_own
from regiond.ui.machines.details.vm_form import VmForm, vm_form
from regiond.ui.rendering.page import Visit, form_pages, redirect
from regiond.ui.texts import constant, text
from regiond.ui.words.autostart_words import AUTOSTART_OPTIONS

_GROUPS_HELP = constant("Names, separated by commas; name:soft prefers it only. It moves no VM.")


def machine_values(machine: MachineView) -> dict[str, str]:
    return {
        "hostname": machine.hostname,
        "description": machine.description,
        "pool": machine.pool.name,
        "zone": machine.zone.name,
        "affinity": _groups(machine, Policy.AFFINITY),
        "anti_affinity": _groups(machine, Policy.ANTI_AFFINITY),
        "autostart": machine.autostart.value if machine.autostart else AS_ABOVE,
    }


def _groups(machine: MachineView, policy: Policy) -> str:
    names = [one.group + ("" if one.hard else ":soft") for one in machine.affinity_groups if one.policy is policy]
    return ", ".join(sorted(names))


async def _machine_fields(visit: Visit) -> list[FormField]:
    pools = await visit.services.groups.pools(caller=visit.caller)
    zones = await visit.services.groups.zones()
    return [
        FormField(name="hostname", label=text("Name"), help=text("The name of the VM on its host does not change")),
        FormField(
            name="pool", label=text("Resource pool"), kind="choice", options=_options(pool.name for pool in pools)
        ),
        FormField(name="description", label=text("Description"), kind="area", optional=True),
        FormField(name="zone", label=text("Zone"), kind="choice", options=_options(zone.name for zone in zones)),
        FormField(name="affinity", label=text("With the VMs of group"), optional=True, help=_GROUPS_HELP),
        FormField(name="autostart", label=text("When its host starts"), kind="choice", options=AUTOSTART_OPTIONS),
        FormField(name="anti_affinity", label=text("Apart from the VMs of group"), optional=True, help=_GROUPS_HELP),
    ]


def _options(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


async def edit(visit: Visit, machine: MachineView) -> VmForm:
    async def send(changes: Mapping[str, str]) -> Reply:
        if changes:
            await visit.act(MACHINE, "PUT", path={"system_id": machine.system_id}, fields=changes)
        return redirect("vms", machine.system_id)

    return VmForm(
        title=text("Edit {hostname}", hostname=machine.hostname),
        crumb=text("Edit"),
        fields=await _machine_fields(visit),
        values=machine_values(machine),
        sent=send,
    )


async def owner_data(visit: Visit) -> Reply:
    return await _pairs(visit, _OWNER_DATA)


async def workload_annotations(visit: Visit) -> Reply:
    return await _pairs(visit, _ANNOTATIONS)


@frozen(kw_only=True)
class _Pairs:
    """Keys with values that a VM has: what the form says of them, and the endpoint that sets them."""

    title: str
    help: str
    op: str
    read: Callable[[MachineView], Mapping[str, str] | None]


_OWNER_DATA = _Pairs(
    title=constant("Owner data"),
    help=constant(
        "Keys and values of your programs. They are kept until the VM is released; a key whose value is "
        "emptied is removed."
    ),
    op="set_owner_data",
    read=lambda machine: machine.owner_data,
)
_ANNOTATIONS = _Pairs(
    title=constant("Workload annotations"),
    help=constant(
        "Keys and values that say what runs on the VM. They are kept until it is released; a key whose value "
        "is emptied is removed, from the owner data too."
    ),
    op="set_workload_annotations",
    read=lambda machine: machine.workload_annotations,
)


async def _pairs(visit: Visit, pairs: _Pairs) -> Reply:
    """One whose value is emptied is removed."""
    machine = await read_own(visit)
    data = pairs.read(machine) or {}

    async def send(changes: Mapping[str, str]) -> Reply:
        changed = changed_data(data, changes, visit.request)
        if changed:
            await visit.act(MACHINE, "POST", pairs.op, path={"system_id": machine.system_id}, fields=changed)
        return redirect("vms", machine.system_id, "configuration")

    async def show(edit: Edit, refusal: Refusal) -> Reply:
        return await visit.page(
            "machines/owner_data.html",
            title=text("{what} of {hostname}", what=text(pairs.title), hostname=machine.hostname),
            section="vms",
            status=refusal.status,
            vm=machine,
            form_fields=data_fields(data),
            edit=edit,
            problems=refusal.problems,
            new=new_key(visit.request),
            pairs=pairs,
        )

    return await forms.change(visit, data_values(data), show, send)


PAGES = (
    *vm_form("edit", edit, permission=Permission.ADMIN),
    *form_pages("vms/<system_id>/owner-data", owner_data, permission=Permission.OPERATOR),
    *form_pages("vms/<system_id>/annotations", workload_annotations, permission=Permission.OPERATOR),
)
