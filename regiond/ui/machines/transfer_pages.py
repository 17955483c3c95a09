"""Exports a VM to a file: says what is written, and leads to the list of files."""

from __future__ import annotations

import secrets

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.values.model import MachineView
from regiond.ui.forms import question as questions
from regiond.ui.forms.question import Question, Subject
from regiond.ui.machines.action_pages import since_of, stay
from regiond.ui.machines.machine_questions import SECTION, crumbs_of, detail_of
from regiond.ui.rendering.page import Visit, form_pages
from regiond.ui.texts import text
from regiond.ui.web_request import page_url


async def export(visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    path = {"system_id": machine.system_id}
    plan = await visit.act(MACHINE, "POST", "export", path=path, fields={"dry_run": "true"})

    async def run() -> Reply:
        await visit.act(
            MACHINE, "POST", "export", path=path, fields={}, idempotency_key=visit.request.given("once") or None
        )  # fmt: skip
        done = text(
            "{hostname} is being exported. Its file will be among the exports, in the settings.",
            hostname=machine.hostname,
        )
        return stay(visit, machine, None, done)

    once = visit.request.given("once") or secrets.token_urlsafe(16)
    question = export_question(machine, detail_of(machine, await since_of(visit, machine), visit.now), once)
    return await questions.ask(
        visit, question, run, template="machines/export.html", plan={"effects": plan["effects"]}
    )  # fmt: skip


def export_question(machine: MachineView, detail: str, once: str) -> Question:
    return Question(
        title=text("Export {hostname} to a file?", hostname=machine.hostname),
        section=SECTION,
        crumbs=crumbs_of(machine),
        button=text("Export VM"),
        back=page_url(SECTION, machine.system_id),
        undo=text("The file can be deleted at any time."),
        subjects=(Subject(name=machine.hostname, detail=detail),),
        kept=(("once", once),),
    )


PAGES = form_pages("vms/<system_id>/export", export)
