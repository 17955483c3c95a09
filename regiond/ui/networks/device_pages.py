"""Devices: the list, the page of one, and the forms that add, change and delete it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve

from common.errors import NotAllowed
from regiond.api.replies import Reply
from regiond.api.resources.machines.nodes_api.devices import DEVICE, DEVICES
from regiond.machines.values.devices import DeviceFilter, DeviceView
from regiond.machines.values.search import MachineFilter
from regiond.requests.caller import Caller, Permission, check_object
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.object_pages import ObjectKind, object_pages
from regiond.ui.forms.removal import Removal
from regiond.ui.networks.network_kinds import SECTION
from regiond.ui.rendering.page import Page, Visit
from regiond.ui.texts import constant, text
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url

PLACE = (SECTION, "devices")
CRUMBS = ((constant("Networks"), page_url(SECTION)), (constant("Devices"), page_url(*PLACE)))
_HOSTNAME = FormField(
    name="hostname", label=constant("Name"), optional=True, help=constant("Without one it is named device-ID")
)
_DESCRIPTION = FormField(name="description", label=constant("Description"), optional=True)
_COLUMNS: Mapping[str, Callable[[DeviceView], Any]] = {
    "name": lambda device: device.hostname,
    "owner": lambda device: device.owner,
    "zone": lambda device: device.zone.name,
    "pool": lambda device: device.pool.name if device.pool else None,
}


async def show_list(visit: Visit) -> Reply:
    wanted = visit.request.option("q").strip()
    devices = await visit.services.devices.list(DeviceFilter(), caller=visit.caller)
    view = in_memory(visit.request, [one for one in devices if matches(one, wanted)], _COLUMNS, default="name")
    names = await _machine_names(visit, view.rows)
    return await visit.page(
        "networks/devices.html",
        title=text("Devices"),
        section=SECTION,
        view=view,
        machine_names=names,
        text=wanted,
        all_devices=len(devices),
        may_add=visit.caller.operated_pools != frozenset(),
    )


def matches(device: DeviceView, text: str) -> bool:
    """Whether one of its texts has this one, in any case: name, description, id, owner, MAC and IP addresses."""
    facts = [device.hostname, device.description, device.system_id, device.owner or ""]
    facts += [fact for nic in device.nics for fact in (nic.mac_address, str(nic.ip_address or ""))]
    return any(text.lower() in fact.lower() for fact in facts)


async def _machine_names(visit: Visit, devices: Iterable[DeviceView]) -> dict[str, str]:
    """Returns the names of the VMs that the devices are on, by system id."""
    wanted = tuple({one.parent for one in devices if one.parent})
    found = await visit.services.machines.list(MachineFilter(system_ids=wanted), caller=visit.caller) if wanted else ()
    return {one.system_id: one.hostname for one in found}


async def read_device(visit: Visit) -> DeviceView:
    """Returns the device of the page's address. Raises NotFound."""
    return await visit.services.devices.read(visit.path["id"], caller=visit.caller)


async def read_own_device(visit: Visit) -> DeviceView:
    """As `read_device`, for a page that changes it. Raises NotAllowed if the caller may not."""
    device = await read_device(visit)
    check_object(Permission.OWNER, visit.caller, device)
    return device


def may_change(caller: Caller, device: DeviceView) -> bool:
    """Whether the endpoints of the API let the caller change the device."""
    try:
        check_object(Permission.OWNER, caller, device)
    except NotAllowed:
        return False
    return True


async def show(visit: Visit) -> Reply:
    device = await read_device(visit)
    names = await _machine_names(visit, [device])
    return await visit.page(
        "networks/device.html",
        title=device.hostname,
        section=SECTION,
        crumbs=CRUMBS,
        device=device,
        on=names.get(device.parent or ""),
        may_change=may_change(visit.caller, device),
    )


async def _fields(visit: Visit, device: DeviceView | None) -> list[FormField]:
    zones = tuple((zone.name, zone.name) for zone in await visit.services.groups.zones())
    zone = FormField(name="zone", label=text("Zone"), kind="choice", options=zones)
    if device is not None:
        return [evolve(_HOSTNAME, optional=False, help=""), *([] if device.parent else [zone]), _DESCRIPTION]
    return [
        _HOSTNAME,
        FormField(
            name="mac_addresses", label=text("MAC addresses"), help=text("One for each NIC, separated by commas")
        ),
        FormField(
            name="parent",
            label=text("On VM"),
            optional=True,
            help=text("Name or system id of an allocated or deployed VM; releasing it deletes the device"),
        ),
        evolve(zone, optional=True, none_label=text("that of the VM, or the default zone")),
        _DESCRIPTION,
    ]


def _zone_of(device: DeviceView) -> Mapping[str, str]:
    return {"zone": device.zone.name}


def _page_of(device: DeviceView) -> tuple[str, ...]:
    return (*PLACE, device.system_id)


async def _removal(_visit: Visit, device: DeviceView, removal: Removal) -> Removal:
    crumbs = (*CRUMBS, (device.hostname, page_url(*_page_of(device))))
    return evolve(removal, crumbs=crumbs, place=_page_of(device), after=PLACE)


DEVICE_KIND = ObjectKind(
    word=constant("device"),
    section=SECTION,
    crumbs=CRUMBS,
    place=PLACE,
    many=DEVICES,
    one=DEVICE,
    key=lambda device: str(device.system_id),
    name=lambda device: str(device.hostname),
    title=constant("Edit {}"),
    fields=_fields,
    values=_zone_of,
    added=lambda made: (*PLACE, made["system_id"]),
    changed=_page_of,
    removal=_removal,
)
PAGES = (
    Page(path="networks/devices", handle=show_list),
    *object_pages(
        DEVICE_KIND,
        add="networks/devices/add",
        one="networks/devices/<id>",
        change="networks/devices/<id>/edit",
        permission=Permission.OPERATOR,
    ),
    Page(path="networks/devices/<id>", handle=show),
)
