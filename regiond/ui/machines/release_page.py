"""Releases a VM: asks what becomes of its disks, and says what the release deletes and keeps."""

from __future__ import annotations

import secrets

from attrs import evolve

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.ui.forms import question as questions
from regiond.ui.machines.action_pages import read_own, removal_question, since_of, stay_or_leave
from regiond.ui.machines.machine_questions import detail_of
from regiond.ui.machines.release_form import FIELDS, erasures, release_fields
from regiond.ui.rendering.page import Visit, form_pages
from regiond.ui.texts import text


async def release(visit: Visit) -> Reply:
    request = visit.request
    machine = await read_own(visit)
    path = {"system_id": machine.system_id}
    plan = await visit.act(MACHINE, "POST", "release", path=path, fields={"dry_run": "true"})
    confirmed = dict.fromkeys(plan["confirmed_with"], "true")  # sent once the name is typed
    values = {name: request.given(name) for name in FIELDS}

    async def run() -> Reply:
        found = await visit.act(
            MACHINE, "POST", "release", path=path,
            fields={**release_fields(values), "comment": values["comment"], **confirmed},
            idempotency_key=request.given("once") or None,
        )  # fmt: skip
        return stay_or_leave(visit, machine, plan, found)

    detail = detail_of(machine, await since_of(visit, machine), visit.now)
    question = removal_question(
        machine, text("Release {hostname}?", hostname=machine.hostname), text("Release VM"), plan, detail
    )
    once = request.given("once") or secrets.token_urlsafe(16)
    return await questions.ask(
        visit, evolve(question, kept=(("once", once),)), run, template="machines/release.html", vm=machine,
        plan=plan, plan_of="guests", erasures=erasures(deletes=bool(plan["deleted"])), values=values,
    )  # fmt: skip


PAGES = form_pages("vms/<system_id>/release", release)
