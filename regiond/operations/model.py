"""What an operation is, and the one table of its moves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from common.errors import WrongState


class OperationKind(StrEnum):
    COMPOSE = "compose"
    POWER = "power"
    DELETE = "delete"  # of a machine: its guest is decomposed, then the row goes
    ALLOCATE = "allocate"  # of a ready machine: done in the moment it is opened, kept to be told
    RELEASE = "release"  # of a machine that stays: it is switched off, then it is nobody's
    REFRESH = "refresh"
    REMOVE_HOST = "remove_host"
    ROTATE = "rotate_credentials"  # of an LXD server: a new key pair in place of the old one
    ADOPT = "adopt"  # a foreign guest becomes a machine: it is marked, and nothing else of it changes
    FORGET = "forget"  # the inverse: the mark goes, then the machine's row; the guest stays as it is
    CLEAN_UP = "clean_up"  # of a guest whose machine was given up


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
        return self in (OperationState.SUCCEEDED, OperationState.FAILED, OperationState.CANCELLED)


class Turn(StrEnum):
    """What happens to an operation."""

    STARTED = "started"
    UNREACHABLE = "unreachable"
    FINISHED = "finished"
    REFUSED = "refused"
    CANCEL_ASKED = "cancel_asked"
    UNDONE = "undone"
    UNDONE_AFTER_CANCEL = "undone_after_cancel"
    SENT_ON = "sent_on"  # undone here, and begun anew on another host


_S, _T = OperationState, Turn
NEXT: Mapping[tuple[OperationState, Turn], OperationState] = {
    (_S.QUEUED, _T.STARTED): _S.RUNNING,
    (_S.QUEUED, _T.CANCEL_ASKED): _S.UNDOING,
    (_S.RUNNING, _T.STARTED): _S.RUNNING,  # taken over: the lease of whoever ran it has lapsed
    (_S.RUNNING, _T.UNREACHABLE): _S.WAITING,
    (_S.RUNNING, _T.FINISHED): _S.SUCCEEDED,
    (_S.RUNNING, _T.REFUSED): _S.UNDOING,
    (_S.RUNNING, _T.CANCEL_ASKED): _S.UNDOING,
    (_S.WAITING, _T.STARTED): _S.RUNNING,
    (_S.WAITING, _T.CANCEL_ASKED): _S.UNDOING,
    (_S.UNDOING, _T.STARTED): _S.UNDOING,
    (_S.UNDOING, _T.UNREACHABLE): _S.UNDOING,
    (_S.UNDOING, _T.UNDONE): _S.FAILED,
    (_S.UNDOING, _T.UNDONE_AFTER_CANCEL): _S.CANCELLED,
    (_S.UNDOING, _T.SENT_ON): _S.QUEUED,
}


def advance(state: OperationState, turn: Turn) -> OperationState:
    """Return the state that follows, or raise WrongState and change nothing."""
    try:
        return NEXT[state, turn]
    except KeyError:
        raise WrongState(f"An operation that is {state} cannot be {turn}.", state=state.value) from None


def retry_delay_s(failures: int, jitter: float) -> float:
    """Seconds before try `failures` + 1: doubling from 0.5 to 30; `jitter` in 0…1 spreads it by half."""
    return min(30.0, 0.5 * 2.0 ** min(failures, 10)) * (0.75 + jitter / 2)


@frozen(kw_only=True)
class Operation:
    """One intent that touches a host, as its row says."""

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


@frozen(kw_only=True)
class LogLine:
    at: datetime
    attempt: int
    step: str | None
    message: str
    details: Mapping[str, Any]
