"""Deploys a VM again that has a system: asks for the image, and says what is lost and what is kept."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from common.errors import InvalidRequest
from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.values.model import MachineView
from regiond.ui.forms import question as questions
from regiond.ui.forms.question import NO_UNDO, Question, Subject
from regiond.ui.machines.action_pages import since_of, stay
from regiond.ui.machines.deploy_form import ImageChoice, encoded_user_data, image_choices, image_problems
from regiond.ui.machines.machine_questions import SECTION, crumbs_of, detail_of
from regiond.ui.rendering.page import Visit, form_pages
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

_FIELDS = ("distro_series", "user_data", "force", "comment")


async def rebuild(visit: Visit) -> Reply:
    request = visit.request
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    path = {"system_id": machine.system_id}
    choices = image_choices(await visit.services.images.list(), machine)
    values = {name: request.given(name) for name in _FIELDS}
    if request.method != "POST":
        values["distro_series"] = _first_choice(machine, choices)
    fields = {"distro_series": values["distro_series"]}
    plan = await visit.act(MACHINE, "POST", "rebuild", path=path, fields={**fields, "dry_run": "true"})
    effects = plan["effects"][1:]  # without the one that names the image, which is a field of the form

    async def run() -> Reply:
        if problems := image_problems(values):
            raise InvalidRequest.of(problems)
        found = await visit.act(
            MACHINE, "POST", "rebuild", path=path,
            fields={
                **fields,
                "force": "true" if values["force"] else "false",
                "user_data": encoded_user_data(values["user_data"]),
                "comment": values["comment"],
            },
            idempotency_key=request.given("once") or None,
        )  # fmt: skip
        return stay(visit, machine, found)

    once = request.given("once") or secrets.token_urlsafe(16)
    question = rebuild_question(machine, detail_of(machine, await since_of(visit, machine), visit.now), once)
    return await questions.ask(
        visit, question, run, template="machines/rebuild.html", vm=machine, plan={"effects": effects},
        choices=choices, values=values,
        key_count=await visit.services.ssh_keys.count_of(machine.owner or visit.caller.username),
    )  # fmt: skip


def _first_choice(machine: MachineView, choices: Sequence[ImageChoice]) -> str:
    """Returns the present image, or the first one that the VM can be deployed with."""
    usable = [choice.name for choice in choices if not choice.obstacle]
    present = f"{machine.osystem}/{machine.distro_series}"
    return present if present in usable or not usable else usable[0]


def rebuild_question(machine: MachineView, detail: str, once: str) -> Question:
    return Question(
        title=text("Rebuild {hostname}?", hostname=machine.hostname),
        section=SECTION,
        crumbs=crumbs_of(machine),
        button=text("Rebuild VM"),
        back=page_url(SECTION, machine.system_id),
        undo=NO_UNDO,
        subjects=(Subject(name=machine.hostname, detail=detail),),
        typed=machine.hostname,
        is_dangerous=True,
        kept=(("once", once),),
    )


PAGES = form_pages("vms/<system_id>/rebuild", rebuild)
