"""A computer without files, memory or space is named with a remedy, and the caller may repeat; a bug stays a bug."""

from __future__ import annotations

import errno

import pytest

from common.errors import Busy, InternalError
from common.process.exhaustion import exhaustion
from common.rpc.handlers import reportable_error


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EMFILE, "Raise LimitNOFILE"),
        (errno.ENFILE, "Raise LimitNOFILE"),
        (errno.ENOSPC, "Free space"),
        (errno.EDQUOT, "Free space"),
        (errno.ENOMEM, "more memory"),
    ],
)
def test_what_a_computer_lacks_is_named_with_the_remedy(number: int, remedy: str) -> None:
    reported = reportable_error(OSError(number, "it is so", "/a/file"), "host.compose")
    assert isinstance(reported, Busy)
    assert "it is so: '/a/file'" in reported.message
    assert remedy in reported.message


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "x"), OSError("x"), ValueError(errno.EMFILE)])
def test_every_other_error_is_a_bug(error: Exception) -> None:
    assert exhaustion(error) is None
    assert isinstance(reportable_error(error, "host.compose"), InternalError)
