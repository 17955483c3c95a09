"""A form that changes one VM: what its page has, and the request that it sends."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from regiond.api.replies import Reply
from regiond.api.resources.machines.machines import MACHINE
from regiond.machines.values.model import MachineView
from regiond.requests.caller import Permission
from regiond.ui.forms import forms
from regiond.ui.forms.edit import Edit, begin_edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import Refusal
from regiond.ui.machines.details.frame import TAB_NAMES
from regiond.ui.machines.machine_questions import SECTION, crumbs_of
from regiond.ui.rendering.page import Page, Visit, form_pages, redirect, redirect_with_note
from regiond.ui.texts import constant, text
from regiond.ui.web_request import page_url


@frozen(kw_only=True)
class Sent:
    """A request to the VM's resource in the API. `done` is the note afterwards, unless a task follows from it."""

    op: str
    fields: Mapping[str, Any] = field(factory=dict)
    done: str


@frozen(kw_only=True)
class FormFact:
    """A value that the form shows above its fields."""

    label: str
    text: str
    is_code: bool = False


@frozen(kw_only=True)
class VmForm:
    """A form of one VM, made for each request.

    `tab` is the page of the VM to which the form leads back; empty: its summary. A form with a `crumb`, its name in the
    crumbs, shows what the VM has now even while an `obstacle` disables its button. A form without one has its title
    there, below its tab, and an obstacle replaces it.

    `values` are what the VM has now, and `sent` gets those that the user changed; a conflict with a change by somebody
    else names `subject` (empty: the VM). With `sends_all`, `values` are what was typed, or what the form begins with,
    and `sent` gets them all. `sent` returns a request, or None if there is nothing to ask; or else it is async, sends
    what it likes and answers. With `is_once`, the form acts once, however often it is sent. `renamed` has the fields of
    the form by those of the API whose problems they show.
    """

    title: str
    crumb: str = ""
    tab: str = ""
    obstacle: str = ""
    facts: Sequence[FormFact] = ()
    fields: Sequence[FormField]
    values: Mapping[str, str]
    notes: Sequence[str] = ()
    button: str = constant("Save")
    sent: Callable[[Mapping[str, str]], Sent | Awaitable[Reply] | None]
    sends_all: bool = False
    is_once: bool = False
    subject: str = ""
    renamed: Mapping[str, str] = field(factory=dict)
    template: str = "machines/vm_form.html"
    more: Mapping[str, Any] = field(factory=dict)  # what the template has besides


FormOf = Callable[[Visit, MachineView], Awaitable[VmForm]]


def vm_form(address: str, form_of: FormOf, *, permission: Permission = Permission.OPERATOR) -> tuple[Page, Page]:
    """Returns the pages of a form at an address below that of the VM."""
    return form_pages(f"{SECTION}/<system_id>/{address}", partial(show_or_send, form_of), permission=permission)


def typed(visit: Visit, begins: Mapping[str, str]) -> Mapping[str, str]:
    """Returns what was typed into the fields of `begins`, or those as they are if the form was not sent."""
    return {name: visit.request.given(name) for name in begins} if visit.request.method == "POST" else begins


async def show_or_send(form_of: FormOf, visit: Visit) -> Reply:
    machine = await visit.services.machines.read(visit.path["system_id"], caller=visit.caller)
    form = await form_of(visit, machine)
    show, send = partial(_page, visit, machine, form), partial(_send, visit, machine, form)
    if form.sends_all:
        return await forms.create(visit, form.values, show, send)
    return await forms.change(visit, form.values, show, send)


async def show_refused(visit: Visit, machine: MachineView, form: VmForm, refusal: Refusal) -> Reply:
    """Returns the page of the form after another action there was refused."""
    return await _page(visit, machine, form, begin_edit(form.values), refusal)


async def _send(visit: Visit, machine: MachineView, form: VmForm, values: Mapping[str, str]) -> Reply:
    sent, back = form.sent(values), _back(machine, form)
    if sent is None:
        return redirect(*back)
    if not isinstance(sent, Sent):
        return await sent
    answer = await visit.act(
        MACHINE, "POST", sent.op, path={"system_id": machine.system_id}, fields=sent.fields,
        idempotency_key=(visit.request.given("once") or None) if form.is_once else None,
    )  # fmt: skip
    return redirect_with_note(visit, *back, answer=answer, text=sent.done)


def _back(machine: MachineView, form: VmForm) -> tuple[str, ...]:
    return (SECTION, machine.system_id, *([form.tab] if form.tab else []))


async def _page(visit: Visit, machine: MachineView, form: VmForm, edit: Edit, refusal: Refusal) -> Reply:
    back = page_url(*_back(machine, form))
    tab = ((text(TAB_NAMES[form.tab]), back),) if form.tab and not form.crumb else ()
    return await visit.page(
        form.template,
        title=form.title,
        section=SECTION,
        status=refusal.status,
        vm=machine,
        form=form,
        crumbs=(*crumbs_of(machine), *tab),
        back=back,
        form_fields=form.fields,
        edit=edit,
        once=visit.request.given("once") or secrets.token_urlsafe(16),
        problems={form.renamed.get(name, name): texts for name, texts in refusal.problems.items()},
        **form.more,
    )
