"""Changes a NIC of a VM: its link to a subnet, the default route, its name and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.api.resources.machines.nodes_api.nodes import INTERFACE, INTERFACE_ON_PAGES
from regiond.machines.core.nics.model import check_may_change_nics, find_nic
from regiond.machines.values.model import MachineView
from regiond.machines.values.nics import NicView
from regiond.networks.model import Vlan
from regiond.requests.caller import Caller, Permission
from regiond.requests.identifiers import as_id
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import NETWORK, read_vm
from regiond.ui.machines.details.nic_form import GATEWAY, MODES, ends_link, link_fields, property_fields, values_of
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.texts import text


def obstacle(caller: Caller, machine: MachineView) -> str:
    """Returns why the caller cannot change the NICs of the VM now; empty if nothing is in the way."""
    try:
        check_may_change_nics(caller, machine)
    except InnkeeperError as error:
        return error.message
    return ""


async def edit(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    machine, nic = vm.machine, find_nic(vm.machine, as_id(visit.path["nic"]) or 0)
    current = values_of(nic)

    async def send(changes: Mapping[str, str]) -> Reply:
        await _change(visit, machine, nic, {**current, **changes}, changes)
        return redirect("vms", machine.system_id, NETWORK)

    async def show(edit: Edit, refusal: Refusal) -> Reply:
        return await _page(visit, machine, nic, edit, refusal)

    return await forms.change(visit, current, show, send)


async def _change(
    visit: Visit, machine: MachineView, nic: NicView, values: Mapping[str, str], changes: Mapping[str, str]
) -> None:
    """The link first, which is refused most often; nothing else has changed then. A new link has no default route."""
    path = {"system_id": machine.system_id, "id": str(nic.id)}
    link = link_fields(values, changes)
    if link is not None and ends_link(link):
        await visit.act(INTERFACE, "POST", "disconnect", path=path)
    elif link is not None:
        await visit.act(INTERFACE, "POST", "link_subnet", path=path, fields=link)
    elif changes.get(GATEWAY):
        await visit.act(INTERFACE, "POST", "set_default_gateway", path=path)
    elif GATEWAY in changes:
        await visit.act(INTERFACE_ON_PAGES, "POST", "clear_default_gateway", path=path)
    if fields := property_fields(values, changes):
        await visit.act(INTERFACE, "PUT", path=path, fields=fields)


async def unlink(visit: Visit) -> Reply:
    vm = await read_vm(visit)
    nic = find_nic(vm.machine, as_id(visit.path["nic"]) or 0)
    path = {"system_id": vm.machine.system_id, "id": str(nic.id)}
    try:
        await visit.act(INTERFACE, "POST", "disconnect", path=path)
    except InnkeeperError as error:
        return await _page(visit, vm.machine, nic, _unchanged(nic), Refusal.of(error))
    return redirect("vms", vm.machine.system_id, NETWORK)


async def clear_gateways(visit: Visit) -> Reply:
    await visit.act(MACHINE, "POST", "clear_default_gateways", path={"system_id": visit.path["system_id"]})
    return redirect("vms", visit.path["system_id"], NETWORK)


async def to_network(visit: Visit) -> Reply:
    """Answers a reload after an action that was refused."""
    return redirect("vms", visit.path["system_id"], NETWORK)


def _unchanged(nic: NicView) -> Edit:
    return Edit(values=values_of(nic), current=values_of(nic))


async def _page(visit: Visit, machine: MachineView, nic: NicView, edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/nics/nic.html",
        title=text("{name} of {vm}", name=nic.name, vm=machine.hostname),
        section="vms",
        status=refusal.status,
        vm=machine,
        nic=nic,
        modes=MODES,
        subnets=await _subnets(visit, nic),
        vlan=_words_of(nic.vlan) if nic.vlan else "",
        obstacle=obstacle(visit.caller, machine),
        edit=edit,
        problems=refusal.problems,
    )


def _words_of(vlan: Vlan) -> str:
    return text("VLAN {name} (id {id}) of {fabric}", name=vlan.name or vlan.vid, id=vlan.id, fabric=vlan.fabric_name)


async def _subnets(visit: Visit, nic: NicView) -> tuple[tuple[str, str], ...]:
    """The subnets of the VLAN to which the NIC is attached; all if that is unknown."""
    found: Any = await visit.services.networks.subnets()
    return tuple(
        (str(one.cidr), f"{one.cidr}, {_words_of(one.vlan)}")
        for one in found
        if nic.vlan is None or one.vlan.id == nic.vlan.id
    )


PAGES = (
    Page(path="vms/<system_id>/network", method="POST", handle=clear_gateways, permission=Permission.OPERATOR),
    *form_pages("vms/<system_id>/network/<nic>", edit, permission=Permission.OPERATOR),
    Page(path="vms/<system_id>/network/<nic>/unlink", handle=to_network),
    Page(path="vms/<system_id>/network/<nic>/unlink", method="POST", handle=unlink, permission=Permission.OPERATOR),
)
