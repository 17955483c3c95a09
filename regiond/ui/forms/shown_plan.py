"""Refuses an answer whose page did not show all of the plan; forms carry digests of its effects. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from common.errors import WrongState
from regiond.api.declaration.endpoint import PlanCheck
from regiond.ui.forms.refusal import CONFLICT, NOT_REFUSED, Refusal
from regiond.ui.texts import text

PLAN = "plan"  # the hidden field
COMPARED = "compared"  # in a plan: facts to compare instead of its effects, if these name what changes all the time
_DIGITS = 12
_NO_EFFECT = "none"
Plan = Mapping[str, Any]  # the answer of a dry run


def digests_of(plan: Plan | None) -> str:
    """Returns the value of the hidden field: the digests of the plan's effects. Empty without a plan."""
    return "" if plan is None else " ".join(sorted(_digests(plan))) or _NO_EFFECT


def refusal_of_plan(plan: Plan | None, shown: str) -> Refusal:
    """Refuses an answer if the plan, computed anew, does more than what was shown; less is no reason to ask again."""
    if plan is None or _digests(plan) <= set(shown.split()):
        return NOT_REFUSED
    problem = (
        text("This changed since the page was shown: read it again.")
        if shown
        else text("Read what this does, then confirm it.")
    )
    return Refusal(status=CONFLICT, problems={"": [problem]})


class PlanGrew(WrongState):
    """The plan does more than what was shown by the time that it is carried out."""


def plan_check(shown: str) -> PlanCheck:
    """Returns the check of an answer's plan in the transaction that carries it out. The check raises PlanGrew."""

    def check(plan: Plan) -> None:
        refusal = refusal_of_plan(plan, shown)
        if refusal is not NOT_REFUSED:
            raise PlanGrew(refusal.problems[""][0])

    return check


def _digests(plan: Plan) -> set[str]:
    return {_digest(effect) for effect in _effects(plan)}


def _effects(plan: Plan) -> Iterator[tuple[str, ...]]:
    for fate in ("deleted", "lost", "kept"):
        for one in plan.get(fate, ()):
            yield from _of_guest(fate, one) if "host" in one else ((fate, one["kind"], one["id"]),)
    for certificate in plan.get("certificates", ()):
        if certificate["removed"]:
            yield "certificate", certificate["fingerprint"]
    for fact in plan.get(COMPARED, plan.get("effects", ())):
        yield "effect", fact


def _of_guest(fate: str, guest: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A kept guest that is no VM of Innkeeper is not affected. That one runs matters only if it is deleted."""
    if fate == "kept":
        if guest["system_id"]:
            yield fate, guest["system_id"]
        return
    identity = guest["system_id"] or f"{guest['host']}/{guest['name']}"
    yield fate, identity
    for volume in guest["volumes"]:
        yield fate, identity, volume["storage_pool"] or "", volume["name"] or ""
    if fate == "deleted" and guest["power_state"] == "on":  # as the page says "which is running"
        yield "stopped", identity
    if guest["locked"]:
        yield "locked", identity


def _digest(effect: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(effect).encode()).hexdigest()[:_DIGITS]
