"""Releases a VM: asks what becomes of its disks, and says what the release deletes and keeps."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial

from common.errors import InvalidRequest
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.model import MachineView
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.machine_pages import after
from regiond.ui.machines.release_form import FIELDS, erasures, release_fields
from regiond.ui.page import Visit, form_pages


async def release(visit: Visit) -> Reply:
    request = visit.request
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    path = {"system_id": machine.system_id}
    plan = await visit.act(MACHINE, "POST", "release", path=path, fields={"dry_run": "true"})
    confirmed = dict.fromkeys(plan["confirmed_with"], "true")  # sent once the name is typed

    async def send(values: Mapping[str, str]) -> Reply:
        if plan["confirm"] == "name" and request.given("name") != machine.hostname:
            raise InvalidRequest.of({"name": [f"Type the name of the VM, {machine.hostname}."]})
        found = await visit.act(
            MACHINE, "POST", "release", path=path,
            fields={**release_fields(values), "comment": values["comment"], **confirmed},
            idempotency_key=request.given("once") or None,
        )  # fmt: skip
        return after(found, machine.system_id)

    values = {name: request.given(name) for name in FIELDS}
    return await forms.create(visit, values, partial(_page, visit, machine, plan), send)


async def _page(visit: Visit, machine: MachineView, plan: Mapping[str, object], edit: Edit, refusal: Refusal) -> Reply:
    return await visit.page(
        "machines/release.html",
        title=f"Release {machine.hostname}",
        section="vms",
        status=refusal.status,
        vm=machine,
        plan=plan,
        erasures=erasures(deletes=bool(plan["deleted"])),
        values=edit.values,
        typed=visit.request.given("name"),
        problems=refusal.problems,
        once=visit.request.given("once") or secrets.token_urlsafe(16),
    )


PAGES = form_pages("vms/<system_id>/release", release)
