"""Edits a VM: its name, description, groups and owner data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from common.errors import InnkeeperError, InvalidRequest
from regiond.api import errors
from regiond.api.replies import Reply
from regiond.api.resources.machines import MACHINE
from regiond.machines.model import MachineView
from regiond.permissions import Permission
from regiond.placement.model import Policy
from regiond.ui.edit_form import EditField, EditForm, sent_form, shown_form
from regiond.ui.page import Page, Visit, redirect
from regiond.ui.refusal import problems_of

_CONFLICT = 409
_GROUPS_HELP = "Names, separated by commas; name:soft prefers it only. It moves no VM."


def machine_values(machine: MachineView) -> dict[str, str]:
    return {
        "hostname": machine.hostname,
        "description": machine.description,
        "pool": machine.pool.name,
        "zone": machine.zone.name,
        "affinity": _groups(machine, Policy.AFFINITY),
        "anti_affinity": _groups(machine, Policy.ANTI_AFFINITY),
    }


def _groups(machine: MachineView, policy: Policy) -> str:
    names = [one.group + ("" if one.hard else ":soft") for one in machine.affinity_groups if one.policy is policy]
    return ", ".join(sorted(names))


async def _machine_fields(visit: Visit) -> list[EditField]:
    pools = await visit.services.groups.pools(caller=visit.caller)
    zones = await visit.services.groups.zones()
    return [
        EditField(name="hostname", label="Name", help="The name of the VM on its host does not change"),
        EditField(name="pool", label="Resource pool", kind="choice", options=_options(pool.name for pool in pools)),
        EditField(name="description", label="Description", kind="area", optional=True),
        EditField(name="zone", label="Zone", kind="choice", options=_options(zone.name for zone in zones)),
        EditField(name="affinity", label="With the VMs of group", optional=True, help=_GROUPS_HELP),
        EditField(name="anti_affinity", label="Apart from the VMs of group", optional=True, help=_GROUPS_HELP),
    ]


def _options(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


async def edit(visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    fields, current = await _machine_fields(visit), machine_values(machine)
    if visit.request.method != "POST":
        return await _page(visit, machine, shown_form(fields, current))
    form = sent_form(visit.request, fields, current)
    if form.conflicts:
        return await _page(visit, machine, form, status=_CONFLICT)
    try:
        if form.changes:
            await visit.act(MACHINE, "PUT", path={"system_id": machine.system_id}, fields=form.changes)
    except InnkeeperError as error:
        return await _page(visit, machine, form, problems=problems_of(error), status=errors.reply_for(error).status)
    return redirect("vms", machine.system_id)


async def _page(
    visit: Visit,
    machine: MachineView,
    form: EditForm,
    *,
    problems: Mapping[str, Sequence[str]] | None = None,
    status: int = 200,
) -> Reply:
    return await visit.page(
        "machines/edit.html",
        title=f"Edit {machine.hostname}",
        section="vms",
        status=status,
        vm=machine,
        form=form,
        problems=problems or {},
    )


def _data_field(key: str) -> str:
    """A name of a field for any key."""
    return f"value-{key.encode().hex()}"


async def owner_data(visit: Visit) -> Reply:
    """Keys with values; one whose value is emptied is removed."""
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    keys = sorted(machine.owner_data or {})
    fields = [EditField(name=_data_field(key), label=key, kind="area", optional=True) for key in keys]
    current = {_data_field(key): (machine.owner_data or {})[key] for key in keys}
    if visit.request.method != "POST":
        return await _owner_data_page(visit, machine, shown_form(fields, current))
    form = sent_form(visit.request, fields, current)
    if form.conflicts:
        return await _owner_data_page(visit, machine, form, status=_CONFLICT)
    changes = {key: form.changes[_data_field(key)] for key in keys if _data_field(key) in form.changes}
    try:
        changes |= _added(visit)
        if changes:
            path = {"system_id": machine.system_id}
            await visit.act(MACHINE, "POST", "set_owner_data", path=path, fields=changes)
    except InnkeeperError as error:
        status = errors.reply_for(error).status
        return await _owner_data_page(visit, machine, form, problems=problems_of(error), status=status)
    return redirect("vms", machine.system_id)


def _added(visit: Visit) -> dict[str, str]:
    key, value = visit.request.given("new-key").strip(), visit.request.given("new-value")
    if value and not key:
        raise InvalidRequest.of({"new-key": ["Name the value."]})
    return {key: value} if key else {}


async def _owner_data_page(
    visit: Visit,
    machine: MachineView,
    form: EditForm,
    *,
    problems: Mapping[str, Sequence[str]] | None = None,
    status: int = 200,
) -> Reply:
    return await visit.page(
        "machines/owner_data.html",
        title=f"Owner data of {machine.hostname}",
        section="vms",
        status=status,
        vm=machine,
        form=form,
        problems=problems or {},
        new={name: visit.request.given(f"new-{name}") for name in ("key", "value")},
    )


PAGES = (
    Page(path="vms/<system_id>/edit", handle=edit, permission=Permission.ADMIN),
    Page(path="vms/<system_id>/edit", method="POST", handle=edit, permission=Permission.ADMIN),
    Page(path="vms/<system_id>/owner-data", handle=owner_data, permission=Permission.OPERATOR),
    Page(path="vms/<system_id>/owner-data", method="POST", handle=owner_data, permission=Permission.OPERATOR),
)
