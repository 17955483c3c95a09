"""The page before something is removed: what the dry run says, the name to type, and the removal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from common.errors import InnkeeperError, NotAllowed, NotFound
from regiond.api.declaration.endpoint import Resource
from regiond.api.replies import Reply
from regiond.requests.deletion_plan import AffectedRecord
from regiond.ui.forms.question import NO_UNDO, Question, check_answer, is_answered, show
from regiond.ui.forms.refusal import NOT_REFUSED, Refusal
from regiond.ui.rendering.page import Visit, redirect_with_note
from regiond.ui.texts import text
from regiond.ui.web_request import page_url

Run = Callable[[Mapping[str, Any]], Awaitable[Any]]


@frozen(kw_only=True)
class Choice:
    """The place for what is left, such as another zone: the field `name`. With `nobody`, a further choice of that text
    sets the field `nobody_field` instead.
    """

    name: str
    label: str
    options: Sequence[str]
    none_label: str
    nobody: str = ""
    nobody_field: str = ""

    @property
    def labelled(self) -> tuple[tuple[str, str], ...]:
        """Returns the values of the form with what they are called. No object has the name of the last one."""
        last = ((f":{self.nobody_field}", self.nobody),) if self.nobody else ()
        return (*((one, one) for one in self.options), *last)

    def fields(self, chosen: str) -> dict[str, Any]:
        """Returns the fields of the request for a value of the form."""
        if self.nobody and chosen == f":{self.nobody_field}":
            return {self.nobody_field: "true"}
        return {self.name: chosen or None}


@frozen(kw_only=True)
class Removal:
    """The texts of the page, and the endpoint that removes: `op` of the resource, or its DELETE without one.

    `name` has to be typed; None: the button is enough. `place` is where one came from. `done` is a sentence.
    """

    title: str
    section: str
    crumbs: Sequence[tuple[str, str]]
    button: str
    resource: Resource
    path: Mapping[str, str]
    op: str | None = None
    fields: Mapping[str, Any] = field(factory=dict)
    place: Sequence[str | int]
    after: Sequence[str | int] = field()  # where one goes when it is done
    name: str | None = None
    note: str = ""
    done: str = ""
    undo: str = NO_UNDO
    choice: Choice | None = None
    left: Sequence[AffectedRecord] = ()  # what needs that place, shown until one is chosen

    @after.default
    def _stay(self) -> Sequence[str | int]:
        return self.place

    def question(self, *, runs: bool = True) -> Question:
        """`runs`: what the button does is possible."""
        return Question(
            title=f"{self.title}?",
            section=self.section,
            crumbs=self.crumbs,
            button=self.button if runs else "",
            back=page_url(*self.place),
            undo=self.undo if runs else "",
            effects=(self.note,) if self.note else (),
            typed=self.name or "" if runs else "",
            is_dangerous=True,
        )

    async def run(self, visit: Visit, fields: Mapping[str, Any]) -> Any:
        """Removes, or plans it with the field `dry_run`."""
        method = "POST" if self.op else "DELETE"
        return await visit.act(self.resource, method, self.op, path=self.path, fields={**fields, **self.fields})


async def confirm(visit: Visit, removal: Removal, run: Run | None = None) -> Reply:
    """Shows the plan, and runs it when the form is sent with the name, unless the plan does more by then.

    `run` replaces that of the removal: it gets fields, and plans if `dry_run` is among them.
    """
    run = run or partial(removal.run, visit)
    request, choice = visit.request, removal.choice
    chosen = {} if choice is None else choice.fields(request.given(choice.name))
    plan, obstacle = await _plan(run, chosen)
    refusal = NOT_REFUSED
    if is_answered(visit) and request.given("action") != "plan":
        refusal = check_answer(visit, removal.question(), plan) if obstacle is NOT_REFUSED else obstacle
        if refusal is NOT_REFUSED:
            try:
                answer = await run(chosen)
            except InnkeeperError as error:
                refusal = Refusal.of(error)
            else:
                done = removal.done or text("{title}: done.", title=removal.title)
                return redirect_with_note(visit, *removal.after, answer=answer, text=done)
    is_open = bool(removal.left) and choice is not None and not request.given(choice.name)
    return await show(
        visit,
        removal.question(runs=obstacle is NOT_REFUSED or choice is not None),
        refusal,
        template="settings/confirm.html",
        removal=removal,
        chosen=request.given(choice.name) if choice else "",
        plan=plan,
        blocked="" if is_open or refusal is not NOT_REFUSED else _words(obstacle),
    )


async def _plan(run: Run, chosen: Mapping[str, Any]) -> tuple[Any, Refusal]:
    """Returns what the dry run says, or why this cannot be done."""
    try:
        return await run({**chosen, "dry_run": "true"}), NOT_REFUSED
    except (NotFound, NotAllowed):
        raise
    except InnkeeperError as error:
        return None, Refusal.of(error)


def _words(refusal: Refusal) -> str:
    return " ".join(text for texts in refusal.problems.values() for text in texts)
