"""The filters of the list of tasks, as its address has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from attrs import frozen

from common.words.operation_kinds import OperationKind
from regiond.api.declaration.field_types import FieldError, Timestamp
from regiond.operations.model import OPEN_STATES, OperationState
from regiond.requests.validation_messages import no_choice
from regiond.ui.web_request import WebRequest

# The quick filters, by their name in the address.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "": (),
    "running": tuple(OPEN_STATES),
    "failed": (OperationState.FAILED.value,),
    "ended": (OperationState.SUCCEEDED.value, OperationState.FAILED.value, OperationState.CANCELLED.value),
}
_CHOICES: Mapping[str, Sequence[str]] = {
    "show": tuple(name for name in SHOWN if name),
    "state": tuple(OperationState),
    "kind": tuple(OperationKind),
}
NAMES = ("q", "show", "state", "kind", "host", "vm", "user", "since", "until")

_NOTHING: Mapping[str, str] = {}


class Wanted(TypedDict):
    """The arguments of `Operations.list` and `count`, without states, host and position."""

    kinds: tuple[str, ...]
    system_id: str | None
    username: str | None
    text: str
    since: datetime | None
    until: datetime | None


@frozen(kw_only=True)
class TaskFilters:
    """`texts` are as typed, without those that name no state, kind or quick filter: these are among the problems.

    `fixed` are the names of the filters that the page decides, and its form does not have.
    """

    texts: Mapping[str, str]
    wanted: Wanted
    problems: Mapping[str, list[str]]
    fixed: frozenset[str] = frozenset()

    @property
    def is_filtered(self) -> bool:
        return any(text for name, text in self.texts.items() if name != "show" and name not in self.fixed)

    @property
    def query(self) -> list[tuple[str, str]]:
        """The parameters with which the list of all tasks has the same ones."""
        return [(name, text) for name, text in self.texts.items() if text]

    def states(self, shown: str) -> tuple[str, ...]:
        """Returns the states of a quick filter, narrowed by the chosen state; an impossible one if none is left."""
        quick, state = SHOWN.get(shown, ()), self.texts["state"]
        if not state:
            return quick
        return (state,) if not quick or state in quick else ("none",)


def read_filters(request: WebRequest, fixed: Mapping[str, str] = _NOTHING) -> TaskFilters:
    """`fixed` are filters that the page decides, whatever its address says."""
    texts = {**{name: request.option(name).strip() for name in NAMES}, **fixed}
    problems: dict[str, list[str]] = {}
    for name, choices in _CHOICES.items():
        if texts[name] and texts[name] not in choices:
            problems[name] = [no_choice(texts[name], choices)]
            texts[name] = ""
    times: dict[str, datetime | None] = {}
    for name in ("since", "until"):
        try:
            times[name] = Timestamp().parse((texts[name],)) if texts[name] else None
        except FieldError as error:
            problems[name] = [str(error)]
            times[name] = None
    wanted = Wanted(
        kinds=(texts["kind"],) if texts["kind"] else (),
        system_id=texts["vm"] or None,
        username=texts["user"] or None,
        text=texts["q"],
        since=times["since"],
        until=times["until"],
    )
    return TaskFilters(texts=texts, wanted=wanted, problems=problems, fixed=frozenset(fixed))
