"""The question before an action that interrupts a guest or cannot be undone, on a page or in a dialog."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from common.errors import InnkeeperError
from regiond.api.replies import Reply
from regiond.ui.forms.edit import begin_edit
from regiond.ui.forms.form_field import FormField
from regiond.ui.forms.refusal import NOT_REFUSED, UNPROCESSABLE, Refusal
from regiond.ui.forms.shown_plan import PLAN, Plan, digests_of, refusal_of_plan
from regiond.ui.rendering.page import Visit
from regiond.ui.texts import constant, text

CONFIRMED = "confirmed"
TYPED = "typed"
NO_UNDO = constant("This cannot be undone.")
TEMPLATE = "confirm.html"


@frozen(kw_only=True)
class Subject:
    """One object that the action is about: `detail` is what matters of it, such as since when it runs."""

    name: str
    detail: str = ""


@frozen(kw_only=True)
class Change:
    """One value before and after."""

    label: str
    before: str
    after: str


@frozen(kw_only=True)
class Question:
    """The content of a confirmation.

    `effects` and `undo` are sentences; `undo` says how the action is undone, or NO_UNDO. `typed` is the text to type,
    the name of one object or the number of several; empty: the button is enough. `kept` are values of the form that
    was sent before, none of them secret. `fields` are asked besides, such as a reason. `back` is where *Cancel* leads.
    """

    title: str
    section: str
    crumbs: Sequence[tuple[str, str]]
    button: str
    back: str
    undo: str
    subjects: Sequence[Subject] = ()
    effects: Sequence[str] = ()
    changes: Sequence[Change] = ()
    typed: str = ""
    is_dangerous: bool = False
    kept: Sequence[tuple[str, str]] = ()
    fields: Sequence[FormField] = ()
    values: Mapping[str, str] = field(factory=dict)  # with which the fields begin
    secrets: frozenset[str] = frozenset()  # of the fields, those that are never shown again


def is_answered(visit: Visit) -> bool:
    """Whether the form of the question was sent."""
    return visit.request.method == "POST" and visit.request.given(CONFIRMED) == "yes"


def refusal_of(question: Question, typed: str) -> Refusal:
    """Refuses an answer without the text to type; the check in the browser is only a convenience."""
    if not question.typed or typed.strip() == question.typed:
        return NOT_REFUSED
    return Refusal(status=UNPROCESSABLE, problems={TYPED: [text("Type {typed} to confirm.", typed=question.typed)]})


def check_answer(visit: Visit, question: Question, plan: Plan | None) -> Refusal:
    """Refuses an answer whose page did not show all of the plan, or without the text to type."""
    refusal = refusal_of_plan(plan, visit.request.given(PLAN))
    return refusal_of(question, visit.request.given(TYPED)) if refusal is NOT_REFUSED else refusal


async def ask(
    visit: Visit, question: Question, act: Callable[[], Awaitable[Reply]], *, plan: Plan | None = None, **values: Any
) -> Reply:
    """Shows the question; `act` runs when its form is sent with the text to type. What `act` raises is shown on it.

    `plan` is what a dry run says now. If it does more than the page of the answer showed, it is shown again.
    """
    refusal = NOT_REFUSED
    if is_answered(visit):
        refusal = check_answer(visit, question, plan)
        if refusal is NOT_REFUSED:
            try:
                return await act()
            except InnkeeperError as error:
                refusal = Refusal.of(error)
    return await show(visit, question, refusal, plan=plan, **values)


async def show(
    visit: Visit,
    question: Question,
    refusal: Refusal = NOT_REFUSED,
    *,
    template: str = TEMPLATE,
    plan: Plan | None = None,
    **values: Any,
) -> Reply:
    """The page of the question. `template` extends `confirm.html`; its form carries what it shows of `plan`.

    The text to type is kept when the page is shown again, unless its plan does more than the page where it was typed.
    """
    given = visit.request.given
    is_typed_for_this = refusal_of_plan(plan, given(PLAN)) is NOT_REFUSED
    asked = {
        one.name: "" if one.name in question.secrets else given(one.name, question.values.get(one.name, ""))
        for one in question.fields
    }
    return await visit.page(
        template,
        title=question.title,
        section=question.section,
        status=refusal.status,
        question=question,
        edit=begin_edit(asked),
        typed=given(TYPED) if is_typed_for_this else "",
        problems=refusal.problems,
        plan=plan,
        shown_plan=digests_of(plan),
        **values,
    )


def keeping(question: Question, **values: str) -> Question:
    """Returns the question with more values that its form sends again."""
    return evolve(question, kept=(*question.kept, *values.items()))


def sent_fields(form: Mapping[str, Sequence[str]], *, without: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Returns the fields of a form that a question carries on, without the token and what the question asks itself."""
    left_out = {"csrf", CONFIRMED, TYPED, PLAN, *without}
    return [(name, text) for name, texts in form.items() if name not in left_out for text in texts]
