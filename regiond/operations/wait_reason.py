"""Finds the reason why an open operation has not ended, in words for an operator. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import field, frozen

from common.words.operation_kinds import OperationKind
from common.words.operation_words import purpose
from regiond.operations.model import (
    UNDO_WAITS_FOR,
    WAIT_FOR_COMMAND,
    WAIT_FOR_EARLIER,
    AfterEarlier,
    Operation,
    OperationState,
)

STUCK_AFTER = 5  # failures, which take a minute: then a person learns how to end it
_OWN_COMMAND = "the last command of its earlier attempt"


@frozen(kw_only=True)
class Ahead:
    """An operation that a region runs on the same host."""

    id: int
    kind: str
    machine: str | None


@frozen(kw_only=True)
class WaitFacts:
    """The facts that can delay an operation. `reached`: a connected rack reaches its host, as far as is known.

    `overdue`: it could have started some seconds ago. `slow`: it began some time ago.
    """

    leased: bool = False
    overdue: bool = False
    slow: bool = False
    host_state: str | None = None
    host_error: str | None = None
    unreachable_at: datetime | None = None
    reached: bool = True
    ahead: Sequence[Ahead] = field(factory=tuple)
    others_ahead: int = 0  # such operations that the reader may not see

    @property
    def is_behind(self) -> bool:
        return bool(self.ahead) or self.others_ahead > 0


def purpose_of(operation: Operation) -> str:
    """Returns words such as `composes quick-fox on hv-01`."""
    machine = operation.hostname or operation.system_id
    return purpose(operation.kind.value, machine=machine, host=operation.host_name, request=operation.request)


def wait_reason(operation: Operation, facts: WaitFacts) -> str | None:
    """Returns a sentence, equal as long as the reason is the same; None if it has ended or nothing delays it."""
    if operation.state.ended:
        return None
    reasons = (
        _last_error(operation, facts),
        _host_reason(operation, facts),
        _command_reason(operation),
        _queue_reason(operation, facts),
    )
    return next((reason for reason in reasons if reason), None)


def _last_error(operation: Operation, facts: WaitFacts) -> str | None:
    if not operation.error_message:
        return None
    if operation.state is OperationState.UNDOING:
        return f"It is being undone: {_sentence(operation.error_message)}{_undo_reason(operation)}"
    if operation.state is not OperationState.WAITING:
        return None
    since = _time(facts.unreachable_at)
    host = f" Host {_host(operation)} is unreachable{since}." if facts.host_state == "unreachable" else ""
    return f"It waits to be tried again: {_sentence(operation.error_message)}{host}"


def _undo_reason(operation: Operation) -> str:
    problem = (operation.error_details or {}).get(UNDO_WAITS_FOR)
    if isinstance(problem, str):
        ends = f" An administrator can end it as it is: innkeeper operation abandon {operation.id}"
        return f" Undoing waits: {_sentence(problem)}{ends if operation.failures >= STUCK_AFTER else ''}"
    return f" Undoing waits until {_OWN_COMMAND} has ended." if operation.step == WAIT_FOR_COMMAND else ""


def _host_reason(operation: Operation, facts: WaitFacts) -> str | None:
    if facts.host_state == "unreachable" and operation.kind is not OperationKind.REFRESH:
        error = f" {_sentence(facts.host_error)}" if facts.host_error else ""
        return f"It waits for host {_host(operation)}, which is unreachable{_time(facts.unreachable_at)}.{error}"
    return None if facts.reached else f"No connected rack reaches host {_host(operation)}."


def _command_reason(operation: Operation) -> str | None:
    if operation.step == WAIT_FOR_COMMAND:
        return f"It waits until {_OWN_COMMAND} has ended."
    if operation.step == WAIT_FOR_EARLIER:
        earlier = operation.request_as(AfterEarlier).earlier
        return f"It waits until the last command of operation {earlier}, which did not succeed, has ended."
    return None


def _queue_reason(operation: Operation, facts: WaitFacts) -> str | None:
    """Returns the reason why an operation is queued; None in the first seconds: operations usually run side by side."""
    if facts.leased:
        return f"Host {_host(operation)} also acts for {_named(facts)}." if facts.slow and facts.is_behind else None
    if not facts.overdue:
        return None
    if facts.is_behind:
        return f"It is queued on host {_host(operation)} behind {_named(facts)}."
    return "It waits for a region that is free to run it."


def _host(operation: Operation) -> str:
    return operation.host_name or "of the operation"


def _named(facts: WaitFacts) -> str:
    if not facts.ahead:
        return "another operation" if facts.others_ahead == 1 else f"{facts.others_ahead} other operations"
    first, more = facts.ahead[0], len(facts.ahead) - 1 + facts.others_ahead
    what = f"operation {first.id} ({first.kind}{f' {first.machine}' if first.machine else ''})"
    return f"{what} and {more} more" if more else what


def _time(at: datetime | None) -> str:
    return "" if at is None else f" since {at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
