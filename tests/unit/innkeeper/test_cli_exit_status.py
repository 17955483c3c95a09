"""Which exit status each kind of error has."""

from __future__ import annotations

import pytest

from common.errors import (
    HostUnreachable,
    InnkeeperError,
    InvalidRequest,
    LinkLost,
    NoneAvailable,
    OperationPending,
    RequestInProgress,
    WrongState,
)
from innkeeper.exit_status import ExitStatus, exit_status


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ExitStatus.FAILED),
        (401, ExitStatus.NOT_ALLOWED),
        (403, ExitStatus.NOT_ALLOWED),
        (404, ExitStatus.NOT_FOUND),
        (409, ExitStatus.CONFLICT),
        (412, ExitStatus.CONFLICT),
        (429, ExitStatus.NOT_NOW),
        (503, ExitStatus.NOT_NOW),
        (504, ExitStatus.CONTINUES),
        (500, ExitStatus.FAILED),
    ],
)
def test_answers_of_the_region_count_by_their_status(status: int, expected: ExitStatus) -> None:
    assert exit_status(InnkeeperError("no", status=status)) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidRequest("no"), ExitStatus.FAILED),
        (WrongState("no"), ExitStatus.CONFLICT),
        (NoneAvailable("no"), ExitStatus.NOT_NOW),
        (HostUnreachable("no"), ExitStatus.NOT_NOW),
        (RequestInProgress("no", status=409), ExitStatus.NOT_NOW),
        (LinkLost("no"), ExitStatus.NO_ANSWER),
        (InnkeeperError("no", unreachable=True), ExitStatus.NO_ANSWER),
        (OperationPending("no"), ExitStatus.CONTINUES),
        (InnkeeperError("no profile"), ExitStatus.FAILED),
    ],
)
def test_other_errors_count_by_their_kind(error: InnkeeperError, expected: ExitStatus) -> None:
    assert exit_status(error) is expected
