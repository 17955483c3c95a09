"""The owner data of a device: keys and values of programs."""

from __future__ import annotations

from collections.abc import Mapping

from regiond.api.replies import Reply
from regiond.api.resources.machines.nodes_api.devices import DEVICE
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.owner_data import changed_data, data_fields, data_values, new_key
from regiond.ui.forms.refusal import Refusal
from regiond.ui.networks.device_pages import CRUMBS, PLACE, read_own_device
from regiond.ui.networks.network_kinds import SECTION
from regiond.ui.rendering.page import Visit, form_pages, redirect
from regiond.ui.texts import text
from regiond.ui.web_request import page_url


async def edit(visit: Visit) -> Reply:
    device = await read_own_device(visit)
    data, place = device.owner_data, (*PLACE, device.system_id)

    async def send(changes: Mapping[str, str]) -> Reply:
        changed = changed_data(data, changes, visit.request)
        if changed:
            await visit.act(DEVICE, "POST", "set_owner_data", path={"system_id": device.system_id}, fields=changed)
        return redirect(*place)

    async def show(shown: Edit, refusal: Refusal) -> Reply:
        return await visit.page(
            "networks/device_data.html",
            title=text("Owner data of {hostname}", hostname=device.hostname),
            section=SECTION,
            status=refusal.status,
            crumbs=(*CRUMBS, (device.hostname, page_url(*place))),
            place=place,
            form_fields=data_fields(data),
            edit=shown,
            new=new_key(visit.request),
            problems=refusal.problems,
        )

    return await forms.change(visit, data_values(data), show, send)


PAGES = form_pages("networks/devices/<id>/owner-data", edit, permission=Permission.OPERATOR)
