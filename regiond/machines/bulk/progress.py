"""What a bulk operation stores, and how far it is. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from common.phrases import number_of
from regiond.machines.model import DEFAULT_AT_ONCE, DEFAULT_RELEASE, BulkAction, ReleaseOptions
from regiond.operations.model import Child, OperationState

_NAMED_FAILURES = 5


@frozen(kw_only=True)
class BulkMachine:
    """`hostname` is that when the operation was opened: the machine may be deleted by the time it is shown."""

    system_id: str
    hostname: str


@frozen(kw_only=True)
class BulkRequest:
    """At most `at_once` children are open at a time. `comment` and `release` are those of a release."""

    action: BulkAction
    machines: tuple[BulkMachine, ...]
    at_once: int = DEFAULT_AT_ONCE
    comment: str = ""
    release: ReleaseOptions = DEFAULT_RELEASE


@frozen(kw_only=True)
class BulkProgress:
    """How many machines are in which state, and which of them come next. The numbers add up to `total`."""

    total: int
    not_begun: int
    open: int
    succeeded: int
    failed: int
    cancelled: int
    next: tuple[BulkMachine, ...]

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled


def progress(request: BulkRequest, children: Iterable[Child]) -> BulkProgress:
    """`next` has the machines to begin with now, in the order of the request: as many as `at_once` leaves room for."""
    states = {child.system_id: child.state for child in children}
    waiting = [machine for machine in request.machines if machine.system_id not in states]
    count = Counter(states.values())
    ended = sum(count[state] for state in count if state.ended)
    is_open = len(states) - ended
    return BulkProgress(
        total=len(request.machines),
        not_begun=len(waiting),
        open=is_open,
        succeeded=count[OperationState.SUCCEEDED],
        failed=count[OperationState.FAILED],
        cancelled=count[OperationState.CANCELLED],
        next=tuple(waiting[: max(0, request.at_once - is_open)]),
    )


def result_of(now: BulkProgress) -> Mapping[str, int]:
    """The result that the operation stores: how many machines ended how."""
    return {
        "succeeded": now.succeeded,
        "failed": now.failed,
        "cancelled": now.cancelled,
        "not_begun": now.not_begun,
    }


def failure_of(request: BulkRequest, children: Sequence[Child]) -> str | None:
    """Names the machines with which it did not succeed and why; None if it succeeded with all."""
    wrong = [child for child in children if child.state is not OperationState.SUCCEEDED]
    if not wrong:
        return None
    named = [f"{child.hostname}: {_reason(child)}" for child in wrong[:_NAMED_FAILURES]]
    more = f" And {len(wrong) - _NAMED_FAILURES} more." if len(wrong) > _NAMED_FAILURES else ""
    were = "was" if len(wrong) == 1 else "were"
    of_all = number_of(len(request.machines), "machine")
    return f"{len(wrong)} of {of_all} {were} not {request.action.done}. {' '.join(named)}{more}"


def _reason(child: Child) -> str:
    reason = (child.error_message or f"it is {child.state}").strip()
    return reason if reason.endswith((".", "!", "?")) else f"{reason}."
