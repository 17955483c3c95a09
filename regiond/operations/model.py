"""Operations: kinds, states, the transition table and retry delays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from attrs import AttrsInstance, field, fields, frozen

from common.errors import Busy, InvalidRequest, WrongState
from common.serialization import from_dict, to_dict
from common.words.operation_kinds import OperationKind
from regiond.requests.deletion_plan import DeletionPlan

R = TypeVar("R")  # the request of a kind, or a part of it

LEFT_OUT = {"left_out": True}  # metadata of a field of a request: the row lacks its key while it has its default
WAIT_FOR_EARLIER = "wait_for_earlier"  # the step that waits for the commands of that operation
WAIT_FOR_COMMAND = "wait_for_command"  # the step that waits for the commands of the operation's own earlier attempts
LEASE_S = 15.0  # for which a process holds an operation unless it renews that
UNDO_WAITS_FOR = "undo_waits_for"  # key of the error's details while undoing waits, with the reason


# Their attempts compare much with the database: the end of one of many children is no reason for another attempt.
WOKEN_BY_LAST_CHILD = (OperationKind.IMPORT,)


class OperationState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    UNDOING = "undoing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in OPEN_STATES


# The column operation.is_open is the same set in SQL.
OPEN_STATES = (OperationState.QUEUED, OperationState.RUNNING, OperationState.WAITING, OperationState.UNDOING)


class OperationEvent(StrEnum):
    """An event that changes the state of an operation."""

    STARTED = "started"
    UNREACHABLE = "unreachable"  # a retryable failure
    SUSPENDED = "suspended"  # no region runs it until it is woken
    FINISHED = "finished"
    REJECTED = "rejected"
    CANCEL_REQUESTED = "cancel_requested"
    UNDONE = "undone"
    UNDONE_AFTER_CANCEL = "undone_after_cancel"
    RESCHEDULED = "rescheduled"  # undone here, queued again for another host


_S, _E = OperationState, OperationEvent
NEXT: Mapping[tuple[OperationState, OperationEvent], OperationState] = {
    (_S.QUEUED, _E.STARTED): _S.RUNNING,
    (_S.QUEUED, _E.CANCEL_REQUESTED): _S.UNDOING,
    (_S.RUNNING, _E.STARTED): _S.RUNNING,  # taken over after the lease of the previous owner lapsed
    (_S.RUNNING, _E.UNREACHABLE): _S.WAITING,
    (_S.RUNNING, _E.SUSPENDED): _S.RUNNING,
    (_S.RUNNING, _E.FINISHED): _S.SUCCEEDED,
    (_S.RUNNING, _E.REJECTED): _S.UNDOING,
    (_S.RUNNING, _E.CANCEL_REQUESTED): _S.UNDOING,
    (_S.WAITING, _E.STARTED): _S.RUNNING,
    (_S.WAITING, _E.CANCEL_REQUESTED): _S.UNDOING,
    (_S.UNDOING, _E.STARTED): _S.UNDOING,
    (_S.UNDOING, _E.UNREACHABLE): _S.UNDOING,
    (_S.UNDOING, _E.SUSPENDED): _S.UNDOING,
    (_S.UNDOING, _E.UNDONE): _S.FAILED,
    (_S.UNDOING, _E.UNDONE_AFTER_CANCEL): _S.CANCELLED,
    (_S.UNDOING, _E.RESCHEDULED): _S.QUEUED,
}


def advance(state: OperationState, event: OperationEvent) -> OperationState:
    """Returns the next state. Raises WrongState if the table has no such transition."""
    try:
        return NEXT[state, event]
    except KeyError:
        raise WrongState(f"An operation that is {state} does not accept {event}.", state=state.value) from None


def retry_delay_s(failures: int, jitter: float) -> float:
    """Returns the seconds before attempt `failures` + 1: 0.5, doubling up to 30, times 0.75 to 1.25.

    `jitter` is between 0 and 1.
    """
    return min(30.0, 0.5 * 2.0 ** min(failures, 10)) * (0.75 + jitter / 2)


def request_hash(request: Mapping[str, Any]) -> bytes:
    """Returns the SHA-256 of `request` as JSON, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).digest()


def stored_request(*parts: AttrsInstance | None) -> dict[str, Any]:
    """Returns the JSON of a request in the operation's row. Each part is an attrs value, or None for none.

    Its keys are the names of the fields; a name that Python reserves has a `_` at its end.
    """
    return {
        _key(one.name): to_dict(value)
        for part in parts
        if part is not None
        for one in fields(type(part))
        if (value := getattr(part, one.name)) != one.default or "left_out" not in one.metadata
    }


def read_request(stored: Mapping[str, Any], kind: type[R]) -> R:
    """Returns the request, or the part of it that `kind` has. Raises InvalidRequest for one of another kind."""
    reserved = {one.name: stored[_key(one.name)] for one in _reserved(kind) if _key(one.name) in stored}
    return from_dict({**stored, **reserved}, kind)


def request_if_known(stored: Mapping[str, Any], kind: type[R]) -> R | None:
    """As `read_request`; None for one of another kind or release, or one that its reader may not see."""
    try:
        return read_request(stored, kind)
    except InvalidRequest:
        return None


def _key(name: str) -> str:
    return name.removesuffix("_")


def _reserved(kind: type[Any]) -> list[Any]:
    return [one for one in fields(kind) if one.name.endswith("_")]


@frozen(kw_only=True)
class AfterEarlier:
    """The part of a request that waits for the commands of an earlier operation, which was opened at `earlier_since`.

    That one was superseded by this one, or is the unsuccessful one before it.
    """

    earlier: int | None = field(default=None, metadata=LEFT_OUT)
    earlier_since: datetime | None = field(default=None, metadata=LEFT_OUT)


@frozen(kw_only=True)
class Operation:
    """One intent that acts on a host, in the shape of its row. The class of its kind reads its request."""

    id: int
    kind: OperationKind
    state: OperationState
    host_id: int | None
    host_name: str | None
    machine_id: int | None
    system_id: str | None
    hostname: str | None
    parent_id: int | None
    account_id: int | None
    username: str | None = None
    request: Mapping[str, Any] = field(factory=dict)
    explanation: Mapping[str, Any] | None = None
    result: Mapping[str, Any] = field(factory=dict)
    step: str | None = None
    reached_host: bool = False
    attempt: int = 0
    failures: int = 0
    max_failures: int = 1
    cancel_requested: bool = False
    error_code: str | None = None
    error_message: str | None = None
    error_details: Mapping[str, Any] | None = None
    undone: tuple[str, ...] = ()
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    not_before: datetime | None = None
    request_id: str | None = None  # as in Origin
    traceparent: str | None = None
    rejections: int = 0  # how often the request was rejected before it started, within an hour
    last_rejected_at: datetime | None = None

    def request_as(self, kind: type[R]) -> R:
        """Returns the request, as `read_request`."""
        return read_request(self.request, kind)

    def request_if(self, kind: type[R]) -> R | None:
        """Returns the request, as `request_if_known`."""
        return request_if_known(self.request, kind)

    def request_with(self, part: AttrsInstance) -> dict[str, Any]:
        """Returns the JSON of the request with another part in place of that of the same class."""
        return {**self.request, **stored_request(part)}


@frozen(kw_only=True)
class Origin:
    """The request that opened an operation or its parent. Stored, since any region may run it at any later time."""

    request_id: str | None = None  # None: no request did
    traceparent: str | None = None  # None: nothing was traced


@frozen(kw_only=True)
class Parent:
    """The attempt that opens an operation as its child. A later attempt of the parent excludes it."""

    id: int
    attempt: int


@frozen(kw_only=True)
class NewOperation:
    """An operation on a machine that the same transaction creates, so that no other operation can act on it."""

    host_id: int
    host_name: str
    machine_id: int
    system_id: str
    hostname: str
    account_id: int
    username: str
    request: Mapping[str, Any]
    explanation: Mapping[str, Any]
    max_failures: int
    origin: Origin
    parent: Parent | None = None
    source_machine_id: int | None = None  # a machine whose disks it copies: no operation on that one opens meanwhile


@frozen(kw_only=True)
class Child:
    """The facts of an operation that its parent needs."""

    id: int
    system_id: str | None
    hostname: str | None
    state: OperationState
    error_message: str | None
    machine_id: int | None = None  # None: it has no machine, or one that was deleted


@frozen(kw_only=True)
class ErrorRecord:
    """An error as operations store and show it."""

    code: str
    message: str
    details: Mapping[str, Any] = field(factory=dict)


@frozen(kw_only=True)
class LogLine:
    at: datetime
    attempt: int
    step: str | None
    message: str
    details: Mapping[str, Any]


def can_be_abandoned(operation: Operation) -> bool:
    """Returns whether undoing it has failed, so that it may never end by itself."""
    return operation.state is OperationState.UNDOING and UNDO_WAITS_FOR in (operation.error_details or {})


def cancel_plan(operation: Operation) -> DeletionPlan:
    """Returns the plan of a cancellation: its `effects`; it deletes no record."""
    subject = operation.hostname or operation.host_name
    described = operation.kind.value + (f" of {subject}" if subject else "")
    begun = "undone where possible" if operation.reached_host else "not begun on a host, so nothing remains of it"
    effects = [f"Operation {operation.id}, {described} ({operation.state}), is cancelled; it is {begun}."]
    if operation.kind is OperationKind.REMOVE_HOST:
        effects.append("Deletions of its machines that have not started are cancelled; deleted VMs stay deleted.")
    if operation.kind is OperationKind.BULK:
        effects.append("What has begun on a machine continues to its end; the other machines are left as they are.")
    return DeletionPlan(name=f"operation {operation.id}", effects=tuple(effects))


@frozen(kw_only=True)
class ActingOperation:
    """An operation that is open on a machine or host, which makes another one wait."""

    id: int
    kind: str
    created_at: datetime


def busy(subject: str, acting: ActingOperation | None) -> Busy:
    """Returns the error for a request on what the operation acts on; None: it has ended since, or is not known."""
    if acting is None:
        return Busy(f"Another operation acts on {subject}. Try again when it has ended.")
    return Busy(
        f"Another operation acts on {subject}: operation {acting.id} ({acting.kind}), since "
        f"{acting.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC. Try again when it has ended.",
        operation=acting.id,
        kind=acting.kind,
    )
