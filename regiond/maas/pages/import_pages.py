"""Imports from MAAS: what was read, the plan with the choices of a person, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from common.errors import InvalidRequest
from common.words.phrases import number_of
from regiond.api.replies import Reply
from regiond.api.urls import id_in
from regiond.maas.api.imports import MAAS_IMPORT, MAAS_IMPORTS
from regiond.maas.imports.model import KINDS, RENAME, Failure, ItemState, MaasImport, Plan, PlanItem
from regiond.maas.pages.parallel_run import parallel_run
from regiond.maas.services import MaasServices
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit
from regiond.ui.forms.form_field import SECRET, TICK, FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.forms.removal import Removal, confirm
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect, redirect_with_note
from regiond.ui.settings.settings_page import SETTINGS
from regiond.ui.texts import constant, text
from regiond.ui.views.table_view import in_memory
from regiond.ui.web_request import page_url

IMPORTS = "maas-imports"
CRUMBS = ((constant("Settings"), page_url(SETTINGS)), (constant("Imports from MAAS"), page_url(SETTINGS, IMPORTS)))
KIND_WORDS: Mapping[str, str] = {
    "zones": constant("Zones"),
    "pools": constant("Resource pools"),
    "tags": constant("Tags"),
    "networks": constant("Networks"),
    "users": constant("Users"),
    "hosts": constant("Hosts"),
    "clusters": constant("Clusters"),
    "machines": constant("VMs"),
}
STATE_WORDS: Mapping[ItemState, str] = {
    ItemState.NEW: constant("new"),
    ItemState.EXISTS: constant("is here"),
    ItemState.CONFLICT: constant("conflict"),
    ItemState.LEFT_OUT: constant("left out"),
}
_CHOICES: Mapping[str, str] = {
    "same": constant("It is the same"),
    "keep": constant("Keep what is here"),
    "move": constant("As it was in MAAS"),
    "leave_out": constant("Leave it out"),
    RENAME: constant("Another name"),
}
_MOST_CONFLICTS = 200
_SOURCE = ("url", "key", "fingerprint")
_COMMAND = "innkeeper import maas --dump maas.sql"
_LEAVE_OUT, _WATCH = "leave_out", "watch"


async def show_list(visit: Visit) -> Reply:
    imports = await visit.services.of(MaasServices).maas_imports.list(visit.caller)
    return await visit.page(
        "settings/maas_imports.html",
        title=text("Imports from MAAS"),
        section=SETTINGS,
        crumbs=CRUMBS[:1],
        imports=imports,
        failed={one.id: text("{count} failed", count=number_of(one.failed, "object")) for one in imports},
        command=_COMMAND,
    )


async def add(visit: Visit) -> Reply:
    """Asks a running MAAS, and shows the plan."""

    async def send(values: Mapping[str, str]) -> Reply:
        given = {name: values[name] for name in _SOURCE if values[name]}
        given |= {"watch": "true"} if values[_WATCH] else {}
        answer = await visit.act(MAAS_IMPORTS, "POST", fields=given)
        return redirect(SETTINGS, IMPORTS, str(answer["id"]))

    values = {name: visit.request.given(name) for name in (*_SOURCE, _WATCH)}
    return await forms.create(visit, values, partial(_add_page, visit), send)


async def _add_page(visit: Visit, edit: Edit, refusal: Refusal) -> Reply:
    fields = [
        FormField(name="url", label=text("URL"), help=text("Such as http://maas.example.com:5240/MAAS")),
        FormField(name="key", label=text("API key of an administrator of the MAAS"), kind=SECRET),
        FormField(
            name="fingerprint", label=text("Fingerprint of its certificate"), optional=True,
            help=text("SHA-256; empty: an authority of this computer has signed it"),
        ),
        FormField(
            name=_WATCH, label=text("Only watch it for now"), kind=TICK, optional=True,
            help=text("That MAAS stays in charge of its hosts until you take each over"),
        ),
    ]  # fmt: skip
    return await visit.page(
        "settings/maas_import_new.html",
        title=text("Import from MAAS"),
        section=SETTINGS,
        crumbs=CRUMBS,
        status=refusal.status,
        form_fields=fields,
        edit=edit,
        problems=refusal.problems,
        command=_COMMAND,
    )


async def show(visit: Visit) -> Reply:
    found = await visit.services.of(MaasServices).maas_imports.read(visit.caller, id_in(visit.path["import"], "import"))
    plan = await visit.services.of(MaasServices).maas_imports.plan(visit.caller, found.id, {})
    conflicts = [one for one in plan.items if one.state is ItemState.CONFLICT][:_MOST_CONFLICTS]
    names = [name for one in conflicts for name in (_choice_field(one), _name_field(one))]

    async def send(values: Mapping[str, str]) -> Reply:
        _check(conflicts, values)
        fields = {"digest": visit.request.given("digest"), "choice": _chosen(conflicts, values)}
        try:
            answer = await visit.act(MAAS_IMPORT, "POST", "apply", path={"id": str(found.id)}, fields=fields)
        except InvalidRequest as error:  # the choices of conflicts are those that the page offers
            problems = {
                _LEAVE_OUT if name.startswith("choice") else name: texts for name, texts in error.fields.items()
            }
            raise InvalidRequest.of(problems) from error
        done = text("The import from {name} has begun.", name=found.origin.label)
        return redirect_with_note(visit, SETTINGS, IMPORTS, str(found.id), answer=answer, text=done)

    values = {name: visit.request.given(name) for name in (*names, _LEAVE_OUT)}
    return await forms.create(visit, values, partial(_plan_page, visit, found, plan, conflicts), send)


def _check(conflicts: Sequence[PlanItem], values: Mapping[str, str]) -> None:
    """Raises InvalidRequest by field for what is not filled in."""
    problems: dict[str, list[str]] = {}
    for one in conflicts:
        choice = values[_choice_field(one)]
        if not choice:
            problems[_choice_field(one)] = [text("Choose what becomes of it.")]
        elif choice == RENAME and not values[_name_field(one)].strip():
            problems[_name_field(one)] = [text("Enter the other name.")]
    for word in _words(values[_LEAVE_OUT]):
        kind, _, source_id = word.partition(":")
        if kind not in KINDS or not source_id:
            problems[_LEAVE_OUT] = [text("{word} is no kind with an id, such as hosts:3.", word=word)]
    if problems:
        raise InvalidRequest.of(problems)


def _words(typed: str) -> list[str]:
    return typed.replace(",", " ").split()


def _chosen(conflicts: Sequence[PlanItem], values: Mapping[str, str]) -> list[str]:
    """Returns the choices as the API takes them."""
    found = []
    for one in conflicts:
        choice = values[_choice_field(one)]
        if choice:
            name = values[_name_field(one)].strip() if choice == RENAME else ""
            found.append(f"{one.kind}:{one.source_id}={choice}{name}")
    return found + [f"{one}={_LEAVE_OUT}" for one in _words(values[_LEAVE_OUT])]


def _choice_field(item: PlanItem) -> str:
    return f"choice-{item.kind}-{item.source_id}"


def _name_field(item: PlanItem) -> str:
    return f"name-{item.kind}-{item.source_id}"


async def _plan_page(
    visit: Visit, found: MaasImport, plan: Plan, conflicts: Sequence[PlanItem], edit: Edit, refusal: Refusal
) -> Reply:
    state, kind = visit.request.option("state"), visit.request.option("kind")
    items = [one for one in plan.items if (not state or one.state == state) and (not kind or one.kind == kind)]
    columns = {
        "kind": lambda one: (KINDS.index(one.kind), one.name),
        "name": lambda one: (one.name, one.kind),
        "state": lambda one: (one.state, one.name),
    }
    form_fields = [field for one in conflicts for field in _conflict_fields(one)] + [_left_out_field()]
    operation = None
    if found.operation_id is not None:
        operation = await visit.services.operations.read(found.operation_id, caller=visit.caller)
    return await visit.page(
        "settings/maas_import.html",
        **await parallel_run(visit, found),
        title=text("Import from {name}", name=found.origin.label),
        section=SETTINGS,
        crumbs=CRUMBS,
        status=refusal.status,
        found=found,
        plan=plan,
        kinds=KIND_WORDS,
        state_words=STATE_WORDS,
        view=in_memory(visit.request, items, columns, default="kind"),
        chosen_state=state,
        chosen_kind=kind,
        form_fields=form_fields,
        labels={one.name: one.label for one in form_fields},
        more_conflicts=len(plan.undecided) > len(conflicts),
        has_work=any(one.state in {ItemState.NEW, ItemState.CONFLICT} for one in plan.items),
        operation=operation,
        running=operation is not None and not operation.state.ended,
        edit=edit,
        problems=refusal.problems,
        failed=number_of(found.failed, "object"),
        failures_by_reason=_by_reason(found.failures),
    )


def _by_reason(failures: Sequence[Failure]) -> dict[str, list[Failure]]:
    """One host that cannot be reached is the reason for many machines."""
    found: dict[str, list[Failure]] = {}
    for one in failures:
        found.setdefault(one.reason, []).append(one)
    return found


def _conflict_fields(item: PlanItem) -> list[FormField]:
    options = tuple((one, str(_CHOICES[one])) for one in item.choices)
    about = f"{KIND_WORDS[item.kind]}: {item.name}"
    found = [
        FormField(
            name=_choice_field(item), label=about, kind="choice", options=options, none_label=text("Choose…"),
            help=item.reason,
        )
    ]  # fmt: skip
    if RENAME in item.choices:
        found.append(
            FormField(name=_name_field(item), label=text("Another name for {name}", name=item.name), optional=True)
        )
    return found


def _left_out_field() -> FormField:
    return FormField(
        name=_LEAVE_OUT, label=text("Leave out as well"), optional=True,
        help=text("Users, hosts and VMs by kind and id, such as users:3 hosts:7"),
    )  # fmt: skip


async def delete(visit: Visit) -> Reply:
    found = await visit.services.of(MaasServices).maas_imports.read(visit.caller, id_in(visit.path["import"], "import"))
    removal = Removal(
        title=text("Delete what was read of {name}", name=found.origin.label),
        section=SETTINGS,
        crumbs=CRUMBS,
        button=text("Delete"),
        resource=MAAS_IMPORT,
        path={"id": str(found.id)},
        place=(SETTINGS, IMPORTS),
        done=text("What was read of {name} is deleted.", name=found.origin.label),
    )
    return await confirm(visit, removal)


PAGES = (
    Page(path=f"settings/{IMPORTS}", handle=show_list, permission=Permission.ADMIN),
    *form_pages("settings/new-maas-import", add, permission=Permission.ADMIN),
    *form_pages(f"settings/{IMPORTS}/<import>", show, permission=Permission.ADMIN),
    *form_pages(f"settings/{IMPORTS}/<import>/delete", delete, permission=Permission.ADMIN),
)
