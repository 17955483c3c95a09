"""One cell of the crash matrix, and what came of it."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class Victim(StrEnum):
    """What dies at a point of an operation."""

    REGION = "region"
    RACK = "rack"
    LINK = "link"  # between the two: both live on
    ANSWER = "answer"  # the host acted, and what it said was lost
    HOST = "host"  # the hypervisor's daemon: it comes back
    CONNECTION = "connection"  # one of the region's to the database
    DATABASE = "database"  # all of them, and for a while no new one


@frozen(kw_only=True, order=True)
class Cell:
    """`kind` is a scenario (`compose`, `join_rack` …), `point` where within it, such as `commit 3 after`."""

    kind: str
    point: str
    victim: Victim

    @property
    def name(self) -> str:
        """As `--only` takes it, whole or its beginning."""
        return f"{self.kind}/{self.point}/{self.victim}"


@frozen(kw_only=True)
class CellResult:
    """Green without `faults`. A cell that could not be tried says why in `skipped`; it is not green."""

    cell: Cell
    outcome: str  # how the operation ended and what the caller could learn, such as `succeeded, told`
    recovered_s: float  # from the fault until all was well
    faults: tuple[str, ...] = ()
    skipped: str | None = None
    real: bool = False  # real processes were killed
