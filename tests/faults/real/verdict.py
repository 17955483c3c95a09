"""What is wrong with how a request ended, as its caller sees it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.errors import InnkeeperError
from innkeeper.http import Answer
from tests.faults.real.requests import ENDED

Told = Answer | InnkeeperError | None


def told_faults(
    told: Told, states: Sequence[str], *, may_fail: bool = False, answers_anyway: bool = False
) -> Iterator[str]:
    """`may_fail`: it is not tried again by itself; `answers_anyway`: what is told is not how the operation ended, and
    more operations than one may come of it."""
    if not states or (len(states) > 1 and not answers_anyway):
        yield f"{len(states)} operations came of one request: {', '.join(states)}"
    if any(state not in ENDED for state in states):
        yield f"an operation did not end: {', '.join(states)}"
    if not may_fail and states and states[-1] != "succeeded":
        yield f"the operation {states[-1]}, and everything that it needs had come back"
    if answers_anyway:
        return
    if isinstance(told, InnkeeperError) and "succeeded" in states:
        yield f"it succeeded, and the caller was told: {told}"
    if isinstance(told, Answer) and "succeeded" not in states:
        yield f"the caller was told {told.status}, and the operation is {', '.join(states)}"


def outcome(told: Told, states: Sequence[str]) -> str:
    """Such as `succeeded, told`: how it ended, and whether an answer said so or the list of operations."""
    return f"{', '.join(states)}, {'found out' if told is None else 'told'}"
