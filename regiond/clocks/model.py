"""What three clocks say of each other: the database's, this machine's, and one that only goes forward."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

STEP_S = 5.0  # less is a slow answer, or a clock that is being led
SKEW_S = 60.0


@frozen(kw_only=True)
class Reading:
    """All three at about one moment. `steady_s` counts from anywhere, and never goes back."""

    database_at: datetime
    machine_at: datetime
    steady_s: float


def database_step_s(before: Reading, now: Reading) -> float:
    """By how much the database's clock was set between two readings; below zero: back. 0 for what is too little."""
    step_s = (now.database_at - before.database_at).total_seconds() - (now.steady_s - before.steady_s)
    return step_s if abs(step_s) >= STEP_S else 0.0


def skew_s(reading: Reading) -> float:
    """How far this machine's clock is ahead of the database's; 0 for what does no harm."""
    ahead_s = (reading.machine_at - reading.database_at).total_seconds()
    return ahead_s if abs(ahead_s) >= SKEW_S else 0.0


def step_text(step_s: float) -> str:
    way = "forward" if step_s > 0 else "back"
    return (
        f"The database's clock was set {way} by {abs(step_s):.0f} s. Leases and waiting times follow it; nothing is "
        "done twice, and nothing waits for the time that is missing."
    )


def skew_text(ahead_s: float) -> str:
    way = "ahead of" if ahead_s > 0 else "behind"
    return (
        f"The clock of this region's machine is {abs(ahead_s):.0f} s {way} the database's: requests that are signed by "
        "clients with the right time may be refused, and certificates end early or late. Let both follow NTP."
    )
