"""A server's clock, from the Date header of its responses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from rackd.drivers.lxd.inventory.clock import ahead_s, clock_problem

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


def header(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize("seconds", [-86400, -31, 0, 29, 3600])
def test_the_difference_is_that_of_the_header(seconds: int) -> None:
    assert ahead_s(header(seconds), NOW) == seconds


@pytest.mark.parametrize("text", [None, "", "yesterday", "Sun, 99 Nov 2026 12:00:00 GMT", "\x00", "9" * 300])
def test_a_header_that_is_no_date_says_nothing(text: str | None) -> None:
    assert ahead_s(text, NOW) is None
    assert clock_problem(None) is None


@pytest.mark.parametrize("seconds", [-30, -1, 0, 30])
def test_half_a_minute_apart_is_no_problem(seconds: float) -> None:
    assert clock_problem(seconds) is None


@pytest.mark.parametrize(("seconds", "words"), [(95, "about 100 s ahead of"), (-3605, "about 3600 s behind")])
def test_more_is_told_with_the_direction(seconds: float, words: str) -> None:
    problem = clock_problem(seconds)
    assert problem is not None
    assert words in problem.message
    assert "NTP" in problem.message
