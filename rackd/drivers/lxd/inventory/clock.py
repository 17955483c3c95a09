"""Compares a server's clock with the rack's. Pure."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

from common.hosts.discovery import Problem

MOST_APART_S = 30.0
_ROUNDED_TO_S = 10  # so that the message stays the same from one refresh to the next


def ahead_s(date_header: str | None, now: datetime) -> float | None:
    """Returns the server's clock minus `now`, exact to a second; None without a valid HTTP date."""
    try:
        there = parsedate_to_datetime(date_header or "")
    except ValueError:
        return None
    return None if there.tzinfo is None else (there - now).total_seconds()


def clock_problem(ahead: float | None) -> Problem | None:
    """Returns None if the clocks agree well enough, or if that is unknown."""
    if ahead is None or abs(ahead) <= MOST_APART_S:
        return None
    apart_s = round(abs(ahead) / _ROUNDED_TO_S) * _ROUNDED_TO_S
    direction = "ahead of" if ahead > 0 else "behind"
    return Problem(
        subject="clock",
        message=(
            f"The clock of this host is about {apart_s} s {direction} that of the rack that reads it. Certificates "
            "may be rejected and logs mislead: let both keep time with NTP."
        ),
    )
