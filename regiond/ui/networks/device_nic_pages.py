"""The NICs of a device: added, changed, linked to subnets, unlinked and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from common.errors import NotFound
from regiond.api.replies import Reply
from regiond.api.resources.machines.nodes_api.nodes import INTERFACE, INTERFACES
from regiond.machines.values.devices import DeviceNicView, DeviceView
from regiond.machines.values.nics import LinkMode
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.form_frame import FormFrame
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.networks.device_pages import CRUMBS, PLACE, read_own_device
from regiond.ui.networks.network_kinds import SECTION, vlan_options
from regiond.ui.rendering.page import Visit, form_pages, redirect
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url

_MODES = (
    (LinkMode.AUTO.value, constant("an address that Innkeeper chooses")),
    (LinkMode.STATIC.value, constant("the address below, or a free one")),
    (LinkMode.DHCP.value, constant("DHCP: something else assigns it")),
    (LinkMode.LINK_UP.value, constant("no address")),
)


def _frame(device: DeviceView, title: str, *, is_new: bool = False, note: str = "") -> FormFrame:
    place = (*PLACE, device.system_id)
    crumbs = (*CRUMBS, (device.hostname, page_url(*place)))
    return FormFrame(title=title, section=SECTION, crumbs=crumbs, place=place, word="NIC", is_new=is_new, note=note)


async def _read(visit: Visit) -> tuple[DeviceView, DeviceNicView]:
    device, number = await read_own_device(visit), visit.path["nic"]
    nic = next((one for one in device.nics if str(one.id) == number), None)
    if nic is None:
        raise NotFound(f"{device.hostname} has no NIC {number[:40]!r}.")
    return device, nic


def _path(device: DeviceView, nic: DeviceNicView) -> Mapping[str, str]:
    return {"system_id": device.system_id, "id": str(nic.id)}


async def _fields(visit: Visit) -> list[FormField]:
    return [
        FormField(
            name="name", label=text("Name"), optional=True, help=text("Without one, the first free of eth0, eth1 …")
        ),
        FormField(name="mac_address", label=text("MAC address")),
        FormField(
            name="vlan",
            label="VLAN",
            kind="choice",
            options=await vlan_options(visit),
            none_label=text("none"),
            optional=True,
            help=text("A link to a subnet sets it"),
        ),
        FormField(
            name="mtu",
            label=text("MTU in bytes"),
            kind="number",
            optional=True,
            help=text("Without one that of the VLAN"),
        ),
        FormField(name="tags", label=text("Tags"), optional=True, help=text("Separated by commas")),
    ]


async def add(visit: Visit) -> Reply:
    device, fields = await read_own_device(visit), await _fields(visit)
    frame = _frame(device, text("Add NIC"), is_new=True)

    async def send(values: Mapping[str, str]) -> Reply:
        sent = {name: text for name, text in values.items() if text.strip()}
        path = {"system_id": device.system_id}
        await visit.act(INTERFACES, "POST", "create_physical", path=path, fields=sent)
        return redirect(*frame.place)

    values = {one.name: visit.request.given(one.name) for one in fields}
    return await forms.create(visit, values, partial(frame.page, visit, fields), send)


async def change(visit: Visit) -> Reply:
    (device, nic), fields = await _read(visit), await _fields(visit)
    frame = _frame(device, text("Edit {name} of {hostname}", name=nic.name, hostname=device.hostname))
    current = {
        "name": nic.name,
        "mac_address": nic.mac_address,
        "vlan": str(nic.vlan.id) if nic.vlan else "",
        "mtu": str(nic.mtu or ""),
        "tags": ", ".join(nic.tags),
    }

    async def send(changes: Mapping[str, str]) -> Reply:
        if changes:
            await visit.act(INTERFACE, "PUT", path=_path(device, nic), fields=changes)
        return redirect(*frame.place)

    return await forms.change(visit, current, partial(frame.page, visit, fields), send)


async def link(visit: Visit) -> Reply:
    """Links a NIC, or replaces its link, which releases the address that it had."""
    device, nic = await _read(visit)
    subnets = tuple(
        (str(one.id), text("{subnet} on {vlan}", subnet=one.cidr, vlan=f"{one.vlan.fabric_name} / {one.vlan.name}"))
        for one in await visit.services.networks.subnets()
    )
    fields = [
        FormField(name="mode", label=text("The NIC has"), kind="choice", options=_MODES),
        FormField(
            name="subnet", label=text("Subnet"), kind="choice", options=subnets, none_label=text("none"), optional=True
        ),
        FormField(name="ip_address", label=text("Address"), optional=True, help=text("Of the subnet, and not in use")),
    ]
    note = text("{address} is released.", address=nic.ip_address) if nic.ip_address else ""
    frame = _frame(device, text("Link {name} of {hostname}", name=nic.name, hostname=device.hostname), note=note)

    async def send(values: Mapping[str, str]) -> Reply:
        sent: dict[str, Any] = {name: text for name, text in values.items() if text.strip()}
        sent["force"] = nic.ip_address is not None
        await visit.act(INTERFACE, "POST", "link_subnet", path=_path(device, nic), fields=sent)
        return redirect(*frame.place)

    now = {"mode": LinkMode.AUTO.value, "subnet": str(nic.subnet.id) if nic.subnet else "", "ip_address": ""}
    values = {name: visit.request.given(name, text) for name, text in now.items()}
    return await forms.create(visit, values, partial(frame.page, visit, fields), send)


async def unlink(visit: Visit) -> Reply:
    device, nic = await _read(visit)
    frame = _frame(device, text("Unlink {name} of {hostname}", name=nic.name, hostname=device.hostname))
    removal = Removal(
        title=frame.title,
        section=SECTION,
        crumbs=frame.crumbs,
        button=text("Unlink NIC"),
        resource=INTERFACE,
        path=_path(device, nic),
        op="unlink_subnet",
        fields={"id": str(nic.link_id)},
        place=frame.place,
        note=text("{address} is released, and others can have it.", address=nic.ip_address) if nic.ip_address else "",
    )

    async def run(fields: Mapping[str, Any]) -> Any:
        """The API has no dry run of it: there is nothing to plan."""
        return None if "dry_run" in fields else await removal.run(visit, fields)

    return await confirm(visit, removal, run)


async def delete(visit: Visit) -> Reply:
    device, nic = await _read(visit)
    frame = _frame(device, text("Delete {name} of {hostname}", name=nic.name, hostname=device.hostname))
    removal = Removal(
        title=frame.title,
        section=SECTION,
        crumbs=frame.crumbs,
        button=text("Delete NIC"),
        resource=INTERFACE,
        path=_path(device, nic),
        place=frame.place,
    )
    return await confirm(visit, removal)


_NICS = "networks/devices/<id>/nics"
PAGES = tuple(
    page
    for path, handle in (
        (f"{_NICS}/add", add),
        (f"{_NICS}/<nic>/edit", change),
        (f"{_NICS}/<nic>/link", link),
        (f"{_NICS}/<nic>/unlink", unlink),
        (f"{_NICS}/<nic>/delete", delete),
    )
    for page in form_pages(path, handle, permission=Permission.OPERATOR)
)
