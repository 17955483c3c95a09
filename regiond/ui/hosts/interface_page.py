"""The interfaces of a host to which NICs attach, and the form that corrects the VLAN and the tags of one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from attrs import frozen

from common.errors import NotFound
from regiond.api.replies import Reply
from regiond.api.resources.machines.nodes_api.nodes import INTERFACE
from regiond.hosts.model import HostView
from regiond.networks.model import HostInterface, Vlan
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.hosts.host_frame import read_host
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect
from regiond.ui.texts import text
from regiond.ui.views import formats

_MBPS_IN_GBPS = 1000


@frozen(kw_only=True)
class InterfaceRow:
    """An interface as the table prints it. `is_missing`: the last refresh did not find it."""

    id: int
    name: str
    kind: str
    attaches: str
    vlan: str
    is_chosen: bool
    subnets: tuple[str, ...]
    speed: str
    tags: tuple[str, ...]
    is_missing: bool


async def interfaces_of(visit: Visit, host: HostView) -> list[InterfaceRow]:
    """Returns the interfaces by name, those that a VM can be attached to first."""
    found = await visit.services.networks.interfaces(host.system_id, caller=visit.caller)
    ordered = sorted(found, key=lambda one: (one.missing_since is not None, not one.attachable, one.name))
    return [interface_row(one) for one in ordered]


def interface_row(one: HostInterface) -> InterfaceRow:
    return InterfaceRow(
        id=one.id,
        name=one.name,
        kind=one.type,
        attaches=one.kind if one.attachable else "no VM",
        vlan=formats.DASH if one.vlan is None else vlan_text(one.vlan),
        is_chosen=one.vlan_set_by_user,
        subnets=tuple(str(link.subnet.cidr) for link in one.links),
        speed=formats.DASH if not one.link_speed_mbps else _speed(one.link_speed_mbps),
        tags=one.tags,
        is_missing=one.missing_since is not None,
    )


def vlan_text(vlan: Vlan) -> str:
    """Returns such as `storage, tag 40, fabric-0`."""
    tag = text("tag {vid}", vid=vlan.vid) if vlan.vid else text("untagged")
    generated = {"untagged", f"tag {vlan.vid}", str(vlan.vid)}
    return ", ".join((*((vlan.name,) if vlan.name not in generated else ()), tag, vlan.fabric_name))


def _speed(mbps: int) -> str:
    return f"{formats.number(mbps / _MBPS_IN_GBPS)} Gbit/s" if mbps >= _MBPS_IN_GBPS else f"{mbps} Mbit/s"


async def edit(visit: Visit) -> Reply:
    """The form of one interface; what is not changed is not sent."""
    host, _ = await read_host(visit)
    found = await visit.services.networks.interfaces(host.system_id, caller=visit.caller)
    one = next((each for each in found if str(each.id) == visit.path["interface"]), None)
    if one is None:
        raise NotFound(f"{host.name} has no interface {visit.path['interface']}.")
    fabrics = await visit.services.networks.fabrics()
    vlans = [vlan for fabric in fabrics for vlan in fabric.vlans]
    fields = [
        FormField(
            name="vlan",
            label="VLAN",
            kind="choice",
            options=tuple((str(vlan.id), vlan_text(vlan)) for vlan in vlans),
            none_label=text("As discovered"),
            help=text("A chosen VLAN is not changed by refreshes; compose and constraints use it"),
        ),
        FormField(
            name="tags", label=text("Tags"), optional=True, help=text("Separated by commas. Constraints select by them")
        ),
    ]
    current = {
        "vlan": str(one.vlan.id) if one.vlan is not None and one.vlan_set_by_user else "",
        "tags": ", ".join(one.tags),
    }

    async def send(changes: Mapping[str, str]) -> Reply:
        if changes:
            path = {"system_id": host.system_id, "id": str(one.id)}
            await visit.act(INTERFACE, "PUT", path=path, fields=changes)
        return redirect("hosts", host.id, "resources")

    return await forms.change(visit, current, partial(_page, visit, host, one, fields), send)


async def _page(
    visit: Visit, host: HostView, one: HostInterface, fields: list[FormField], edit_: Edit, refusal: Refusal
) -> Reply:
    return await visit.page(
        "hosts/interface.html",
        title=text("{name} of {host}", name=one.name, host=host.name),
        section="hosts",
        status=refusal.status,
        host=host,
        interface=interface_row(one),
        form_fields=fields,
        edit=edit_,
        problems=refusal.problems,
    )


PAGES: tuple[Page, ...] = form_pages("hosts/<host>/interfaces/<interface>", edit, permission=Permission.ADMIN)
