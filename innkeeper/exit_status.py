"""The exit statuses of the command, by kind of error. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from common.errors import (
    AnswerNotKept,
    Busy,
    DatabaseUnavailable,
    DeadlineExceeded,
    HostHung,
    HostUnreachable,
    IdempotencyMismatch,
    InnkeeperError,
    LinkLost,
    NameTaken,
    NotAuthenticated,
    OperationPending,
    OutOfCapacity,
    QuotaExceeded,
    RackUnreachable,
    RequestInProgress,
    WrongState,
)


class ExitStatus(IntEnum):
    """1 is every other error; scripts may rely on these numbers."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_ALLOWED = 3
    NOT_FOUND = 4
    CONFLICT = 5
    NOT_NOW = 6
    NO_ANSWER = 7
    CONTINUES = 8
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_BY_HTTP_STATUS: Mapping[int, ExitStatus] = {
    401: ExitStatus.NOT_ALLOWED,
    403: ExitStatus.NOT_ALLOWED,
    404: ExitStatus.NOT_FOUND,
    409: ExitStatus.CONFLICT,
    412: ExitStatus.CONFLICT,
    422: ExitStatus.CONFLICT,
    429: ExitStatus.NOT_NOW,
    503: ExitStatus.NOT_NOW,
    504: ExitStatus.CONTINUES,
}
_BY_KIND: Mapping[type[InnkeeperError], ExitStatus] = {
    NotAuthenticated: ExitStatus.NOT_ALLOWED,
    QuotaExceeded: ExitStatus.NOT_ALLOWED,
    WrongState: ExitStatus.CONFLICT,
    Busy: ExitStatus.CONFLICT,
    NameTaken: ExitStatus.CONFLICT,
    IdempotencyMismatch: ExitStatus.CONFLICT,
    RequestInProgress: ExitStatus.NOT_NOW,
    AnswerNotKept: ExitStatus.CONFLICT,
    OutOfCapacity: ExitStatus.NOT_NOW,
    RackUnreachable: ExitStatus.NOT_NOW,
    HostUnreachable: ExitStatus.NOT_NOW,
    HostHung: ExitStatus.NOT_NOW,
    DatabaseUnavailable: ExitStatus.NOT_NOW,
    LinkLost: ExitStatus.NO_ANSWER,
    DeadlineExceeded: ExitStatus.NO_ANSWER,
    OperationPending: ExitStatus.CONTINUES,
}


def exit_status(error: InnkeeperError) -> ExitStatus:
    """Returns the exit status: for an answer of the region by its HTTP status, for an operation's error by its class.

    A profile or a file that is missing here is no object of the region: 1.
    """
    status = error.details.get("status")
    if isinstance(status, int) and not isinstance(error, RequestInProgress):
        return _BY_HTTP_STATUS.get(status, ExitStatus.FAILED)
    if error.details.get("unreachable"):
        return ExitStatus.NO_ANSWER
    found = next((_BY_KIND[kind] for kind in type(error).__mro__ if kind in _BY_KIND), None)
    return found if found is not None else ExitStatus.FAILED
