"""Actions on a watched MAAS: reading it now, taking a host over, giving it back."""

from __future__ import annotations

from common.words.phrases import number_of
from regiond.api.replies import Reply
from regiond.api.resources.hosts.vm_hosts import HOST
from regiond.api.resources.shared.lookups import find_host
from regiond.api.urls import id_in
from regiond.hosts.model import HostView
from regiond.maas.api.imports import MAAS_IMPORT
from regiond.maas.pages.import_pages import CRUMBS, IMPORTS
from regiond.maas.pages.parallel_run import DIFFERENCE_WORDS
from regiond.maas.parallel.model import Difference
from regiond.maas.services import MaasServices
from regiond.requests.caller import Permission
from regiond.ui.forms.question import Question, Subject, ask
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect_with_note
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

_ONE = f"settings/{IMPORTS}/<import>"
_MOST_NAMED = 50


async def compare(visit: Visit) -> Reply:
    """Reads the MAAS now."""
    answer = await visit.act(MAAS_IMPORT, "POST", "compare", path={"id": visit.path["import"]})
    count = number_of(len(answer["differences"]) + answer["more"], "difference")
    return redirect_with_note(visit, *_place(visit), text=text("MAAS was read: {count}.", count=count))


async def take_over(visit: Visit) -> Reply:
    """Asks with what differs; who goes on has seen it."""
    host = await _host(visit)
    run = await visit.services.of(MaasServices).maas_comparisons.last(
        visit.caller, id_in(visit.path["import"], "import")
    )
    differs = [one for one in run.differences if one.host_id == host.id]
    fields = {"force": "true"} if differs else {}

    async def act() -> Reply:
        operation = await visit.act(HOST, "POST", "take_over", path={"id": str(host.id)}, fields=fields)
        return redirect_with_note(visit, *_place(visit), answer=operation)

    effects = [
        text(
            "The VMs that MAAS has there are managed here, while they run. Then {name} takes new VMs.", name=host.name
        ),
        text("From then on, nobody may use them in MAAS."),
    ]
    if differs:
        effects.append(text("MAAS and the host say different things, and you take it over nevertheless."))
    question = Question(
        title=text("Take {name} over from MAAS?", name=host.name),
        section=SETTINGS,
        crumbs=CRUMBS,
        button=text("Take {name} over", name=host.name),
        back=page_url(*_place(visit)),
        undo=text("It can be given back until something is changed on one of the VMs."),
        subjects=[Subject(name=one.vm or host.name, detail=_detail(one)) for one in differs[:_MOST_NAMED]],
        effects=effects,
    )
    return await ask(visit, question, act)


async def give_back(visit: Visit) -> Reply:
    host = await _host(visit)
    path = {"id": str(host.id)}
    plan = await visit.act(HOST, "POST", "give_back", path=path, fields={"dry_run": "true"})

    async def act() -> Reply:
        await visit.act(HOST, "POST", "give_back", path=path)
        note = text("{name} was given back to MAAS.", name=host.name)
        return redirect_with_note(visit, *_place(visit), text=note)

    question = Question(
        title=text("Give {name} back to MAAS?", name=host.name),
        section=SETTINGS,
        crumbs=CRUMBS,
        button=text("Give {name} back", name=host.name),
        back=page_url(*_place(visit)),
        undo=text("It can be taken over again."),
        subjects=[Subject(name=one) for one in plan["machines"][:_MOST_NAMED]],
        effects=(
            text("Innkeeper stops managing its VMs, which stay unchanged and running."),
            text("What was changed in Innkeeper only, such as descriptions, is lost."),
        ),
        is_dangerous=True,
    )
    return await ask(visit, question, act)


def _place(visit: Visit) -> tuple[str, ...]:
    return SETTINGS, IMPORTS, visit.path["import"]


async def _host(visit: Visit) -> HostView:
    return await find_host(visit.services, {"id": visit.path["host"]})


def _detail(one: Difference) -> str:
    word = DIFFERENCE_WORDS[one.kind]
    return text("{what}: in MAAS {there}, here {here}", what=word, there=one.in_maas or "-", here=one.here or "-")


PAGES = (
    Page(path=f"{_ONE}/compare", method="POST", handle=compare, permission=Permission.ADMIN),
    *form_pages(f"{_ONE}/hosts/<host>/take-over", take_over, permission=Permission.ADMIN),
    *form_pages(f"{_ONE}/hosts/<host>/give-back", give_back, permission=Permission.ADMIN),
)
