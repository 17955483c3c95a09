"""Compares the clocks of the database and of this computer with a monotonic clock."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

MIN_STEP_S = 5.0  # less can be a slow response or NTP that adjusts the clock
MIN_SKEW_S = 60.0


@frozen(kw_only=True)
class ClockReading:
    """Three clocks, read at about the same time. `monotonic_s` has an arbitrary start."""

    database_at: datetime
    computer_at: datetime
    monotonic_s: float


def database_step_s(before: ClockReading, now: ClockReading) -> float:
    """Returns by how much the database's clock was set between two readings; negative: back; 0 below MIN_STEP_S."""
    step_s = (now.database_at - before.database_at).total_seconds() - (now.monotonic_s - before.monotonic_s)
    return step_s if abs(step_s) >= MIN_STEP_S else 0.0


def skew_s(reading: ClockReading) -> float:
    """Returns how far this computer's clock is ahead of the database's; 0 below MIN_SKEW_S."""
    ahead_s = (reading.computer_at - reading.database_at).total_seconds()
    return ahead_s if abs(ahead_s) >= MIN_SKEW_S else 0.0


def step_message(step_s: float) -> str:
    direction = "forward" if step_s > 0 else "back"
    return (
        f"The database's clock was set {direction} by {abs(step_s):.0f} s. Leases and retry times follow it: nothing "
        "runs twice and nothing waits longer."
    )


def skew_message(ahead_s: float) -> str:
    direction = "ahead of" if ahead_s > 0 else "behind"
    return (
        f"The clock of this region's computer is {abs(ahead_s):.0f} s {direction} the database's clock. The region may "
        "reject valid signed requests, and certificates start and expire at the wrong time. Synchronise both with NTP."
    )
