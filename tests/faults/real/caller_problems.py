"""What is wrong with how a request ended, from the caller's view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from common.errors import InnkeeperError
from innkeeper.answer import Answer
from tests.deployment.deployment import ENDED

Learned = Answer | InnkeeperError | None


def caller_problems(
    learned: Learned, states: Sequence[str], *, may_fail: bool = False, answers_early: bool = False
) -> Iterator[str]:
    """`states` are those of the operations that the request created.

    `may_fail`: the operation is not retried. `answers_early`: the answer does not depend on the operation, and there
    may be several.
    """
    if not states or (len(states) > 1 and not answers_early):
        yield f"{len(states)} operations for one request: {', '.join(states)}"
    if any(state not in ENDED for state in states):
        yield f"an operation did not end: {', '.join(states)}"
    if not may_fail and states and states[-1] != "succeeded":
        yield f"the operation {states[-1]} although everything recovered"
    if answers_early:
        return
    if isinstance(learned, InnkeeperError) and "succeeded" in states:
        yield f"it succeeded, and the caller received the error: {learned}"
    if isinstance(learned, Answer) and "succeeded" not in states:
        yield f"the caller received status {learned.status}, and the operation is {', '.join(states)}"


def outcome_text(learned: Learned, states: Sequence[str]) -> str:
    """How it ended, and whether an answer said so or the list of operations: `succeeded, answered`."""
    return f"{', '.join(states)}, {'found in the list' if learned is None else 'answered'}"
