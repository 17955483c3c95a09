"""A cell of the crash matrix, and its result."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class Victim(StrEnum):
    """What is killed at a point of a scenario."""

    REGION = "region"
    RACK = "rack"
    LINK = "link"  # the connection between region and rack; both continue
    ANSWER = "answer"  # the host has acted, and its answer is lost
    HOST = "host"  # the hypervisor's daemon; it recovers
    CONNECTION = "connection"  # one connection of the region to the database
    DATABASE = "database"  # all connections; for a while no new one is accepted


@frozen(kw_only=True, order=True)
class Cell:
    """`kind` is a scenario (`compose`, `join_rack` …), `point` the place in it, such as `commit 3 after`."""

    kind: str
    point: str
    victim: Victim

    @property
    def name(self) -> str:
        """`--only` takes it, or a prefix of it."""
        return f"{self.kind}/{self.point}/{self.victim}"


@frozen(kw_only=True)
class CellResult:
    """Green if `faults` is empty and the cell was tried. `skipped` says why a cell was not tried."""

    cell: Cell
    outcome: str  # how the operation ended and what the caller learned, such as `succeeded, answered`
    recovered_s: float  # from the fault until the caller had the outcome
    faults: tuple[str, ...] = ()
    skipped: str | None = None
    real: bool = False  # real processes were killed
