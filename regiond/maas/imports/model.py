"""Imports from MAAS and their plans, in the shapes that users see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cached_property

from attrs import asdict, evolve, field, frozen

from common.errors import InvalidRequest
from common.maas.inventory import Origin
from regiond.maas.access import MaasAddress
from regiond.operations.model import LEFT_OUT

KINDS = ("zones", "pools", "tags", "networks", "users", "hosts", "clusters", "machines")  # in the order of the import
PLAN_FORMAT = "innkeeper-maas-import-1"
MAX_REPORTED = 500  # failures of one import that are shown; all are stored, so that none is tried again

PARALLEL_RUN = "maas_parallel_run"  # holds the maintenance of hosts that Innkeeper is not in charge of
ADOPT = "adopt"
KEEP = "keep"  # what is here stays as it is
LEAVE_OUT = "leave_out"
MOVE = "move"  # a subnet goes to the VLAN that it has in MAAS
RENAME = "rename="  # followed by the name
SAME = "same"  # the user or host here is the one of MAAS


class ItemState(StrEnum):
    NEW = "new"
    EXISTS = "exists"
    CONFLICT = "conflict"
    LEFT_OUT = "left_out"


@frozen(kw_only=True)
class PlanItem:
    """One object of MAAS. `becomes` is what it is here, in words that name it; `reason` explains the state.

    `choices` are what a person may choose, `choice` what is chosen: a conflict without one prevents the import. A
    choice `rename=` stands for `rename=NAME`. `notes` say what differs here from what it was there.
    """

    kind: str
    source_id: str
    name: str
    state: ItemState
    becomes: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    choice: str = ""

    @property
    def undecided(self) -> bool:
        return self.state is ItemState.CONFLICT and not self.choice

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.source_id

    @property
    def stays_behind(self) -> bool:
        """Whether it is not imported, by its state or by choice. What is undecided counts as imported."""
        return self.state is ItemState.LEFT_OUT or self.choice == LEAVE_OUT

    @property
    def is_left_out(self) -> bool:
        return self.stays_behind or self.undecided

    @property
    def new_name(self) -> str:
        """The name that it gets here."""
        return self.choice.removeprefix(RENAME) if self.is_renamed else self.name

    @property
    def is_renamed(self) -> bool:
        return self.choice.startswith(RENAME)

    def unless(self, problem: str) -> PlanItem:
        """Returns the item, or, if its new name has a problem, the conflict without a choice and with this reason."""
        return evolve(self, choice="", reason=problem) if problem and self.is_renamed else self


Choices = Mapping[tuple[str, str], str]  # by kind and source id
StoredChoices = list[list[str]]  # kind, source id and choice of each, in their order


def stored_choices(choices: Choices) -> StoredChoices:
    return [[*key, choice] for key, choice in sorted(choices.items())]


def read_choices(stored: Iterable[Iterable[object]]) -> dict[tuple[str, str], str]:
    """Returns the choices of `stored_choices`. Raises ValueError or TypeError for what is none."""
    return {(str(kind), str(source_id)): str(choice) for kind, source_id, choice in stored}


@frozen(kw_only=True)
class ImportRequest:
    """The request of an import, in the operation's row. `source` names the MAAS.

    With `host`, only the machines of that host are brought, which the MAAS knows as `source_host`; then it is taken
    over.
    """

    import_: int
    source: str
    choices: StoredChoices
    host: int | None = field(default=None, metadata=LEFT_OUT)
    source_host: str = field(default="", metadata=LEFT_OUT)


@frozen(kw_only=True)
class Plan:
    """The objects of an import as they would become now, with these choices. `digest` names its content."""

    import_id: int
    origin: Origin
    items: tuple[PlanItem, ...]
    choices: Choices = field(factory=dict)

    @cached_property
    def digest(self) -> str:
        facts = [(one.kind, one.source_id, one.state.value, one.becomes, one.name) for one in self.items]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @cached_property
    def counts(self) -> dict[str, dict[str, int]]:
        """By kind and state: how many."""
        counts = {kind: {state.value: 0 for state in ItemState} for kind in KINDS}
        for one in self.items:
            counts[one.kind][one.state.value] += 1
        return counts

    @property
    def undecided(self) -> tuple[PlanItem, ...]:
        return tuple(one for one in self.items if one.undecided)

    def of(self, kind: str) -> tuple[PlanItem, ...]:
        return tuple(one for one in self.items if one.kind == kind)

    def as_document(self) -> dict[str, object]:
        """Returns the plan as a file has it: JSON, without secrets."""
        return {
            "format": PLAN_FORMAT,
            "import": self.import_id,
            "digest": self.digest,
            "source": asdict(self.origin, value_serializer=lambda _, __, value: str(value)),
            "counts": self.counts,
            "planned_with": stored_choices(self.choices),
            "objects": {kind: [_plain(one) for one in self.of(kind)] for kind in KINDS},
        }


def _plain(item: PlanItem) -> dict[str, object]:
    plain = asdict(item, filter=lambda attribute, _: attribute.name != "kind")
    return {**plain, "state": item.state.value, "notes": list(item.notes), "choices": list(item.choices)}


def chosen(item: PlanItem, choice: str) -> PlanItem:
    """Returns the item with the choice; an empty one leaves the default, and what exists needs none.

    Raises InvalidRequest for a choice that the item does not have.
    """
    if choice in {"", ADOPT, item.choice} or item.state in {ItemState.EXISTS, ItemState.LEFT_OUT}:
        return item
    if choice not in item.choices and not any(
        one.endswith("=") and choice.startswith(one) and choice != one for one in item.choices
    ):
        known = ", ".join(f"{one}NAME" if one.endswith("=") else one for one in item.choices) or "none"
        message = f"{item.kind} {item.source_id} ({item.name}) has no choice {choice!r}; its choices: {known}."
        raise InvalidRequest.of({"choices": [message]})
    return evolve(item, choice=choice)


@frozen(kw_only=True)
class SeenPlan:
    """The plan that a person decided on: state and result of each item, with the choices that it was made with.

    `choices` are those of the person, who may have changed them since: they decide on other objects, too.
    """

    items: Mapping[tuple[str, str], tuple[str, str]]  # state and `becomes`
    planned_with: Choices
    choices: Choices

    def differences(self, now: Iterable[PlanItem]) -> tuple[str, ...]:
        """Returns in sentences what has changed since, apart from what exists by now."""
        found, present = [], {one.key: one for one in now}
        for key, (state, becomes) in self.items.items():
            item = present.pop(key, None)
            if item is None:
                found.append(f"{key[0]} {key[1]} is not in the import.")
            elif (state, becomes) != (item.state.value, item.becomes) and item.state is not ItemState.EXISTS:
                found.append(f"{item.kind} {item.source_id} ({item.name}) was {state}, and is {item.state.value} now.")
        found += [f"{item.kind} {item.source_id} ({item.name}) is not in the plan." for item in present.values()]
        return tuple(found)


_NO_PLAN = (
    "This is no plan of an import from MAAS. Make one: innkeeper import maas --import ID --plan FILE (innkeeper "
    "maas-imports read lists the ids)"
)


def read_document(document: object, choices: Choices) -> SeenPlan:
    """Returns what a plan's file says, with these choices besides its own. Raises InvalidRequest if it is none."""
    if not isinstance(document, dict) or document.get("format") != PLAN_FORMAT:
        raise InvalidRequest.of({"plan": [_NO_PLAN]})
    items, found = {}, {}
    try:
        for kind, objects in document["objects"].items():
            for one in objects:
                key = (str(kind), str(one["source_id"]))
                items[key] = (str(one["state"]), str(one["becomes"]))
                if one.get("choice"):
                    found[key] = str(one["choice"])
        planned_with = read_choices(document["planned_with"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidRequest.of({"plan": [f"{_NO_PLAN} ({error})"]}) from error
    return SeenPlan(items=items, planned_with=planned_with, choices={**found, **choices})


@frozen(kw_only=True)
class MaasImport:
    """An inventory of one MAAS, and the last import of it. `counts` are those of the inventory, by kind."""

    id: int
    origin: Origin
    counts: Mapping[str, int]
    username: str | None = None
    operation_id: int | None = None  # the last one that carried it out
    failures: tuple[Failure, ...] = ()  # of that one, the first of them; a list of imports has none
    failed: int = 0  # objects that it did not import
    watched: bool = False  # that MAAS is in charge of its hosts until each is taken over, and is asked all the time
    read_at: datetime  # when the inventory was read
    problem: str = ""  # why the last reading failed; empty: it did not
    problem_since: datetime | None = None
    created_at: datetime

    @property
    def in_charge(self) -> str:
        """The reason why Innkeeper composes nothing on a host that is not taken over."""
        return f"MAAS at {self.origin.label} is in charge of it. To change that: vm-host take-over"


@frozen(kw_only=True)
class Failure:
    """An object that was not imported, and why."""

    kind: str
    source_id: str
    name: str
    reason: str


@frozen(kw_only=True)
class NewMaasImport(MaasAddress):
    """A running MAAS to ask; `key` is an API key of it. With `watch` it stays in charge until hosts are taken over."""

    key: str = field(repr=False)
    watch: bool = False
