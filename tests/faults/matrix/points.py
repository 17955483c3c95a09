"""Where something can die, and what can die there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from attrs import frozen

from tests.faults.cells import Cell, Victim


class Where(StrEnum):
    COMMIT = "commit"  # of a transaction of the region
    TAKE = "take"  # of an operation by the engine: a statement that commits by itself
    CALL = "call"  # from one daemon to the other
    HOST = "host"  # what the rack asks of the hypervisor


class Side(StrEnum):
    BEFORE = "before"
    AFTER = "after"


@frozen(kw_only=True)
class Point:
    """`label` is stable from run to run: whose it is, what, and its number among its like."""

    label: str
    where: Where
    side: Side

    @property
    def name(self) -> str:
        return f"{self.label} {self.side}"


_LOST_ANSWER_OF_COMMIT = "the answer of a commit comes from the database: `connection` after it loses it"
_NOTHING_DONE = "nothing has acted yet, so there is no answer to lose"
_NO_TRANSACTION = "no transaction is open while somebody else is asked"


def why_not(point: Point, victim: Victim) -> str | None:
    """Why this victim cannot die at this point; None when it can."""
    in_database = point.where in (Where.COMMIT, Where.TAKE)
    if victim is Victim.ANSWER:
        if in_database:
            return _LOST_ANSWER_OF_COMMIT
        return _NOTHING_DONE if point.side is Side.BEFORE else None
    if victim is Victim.CONNECTION and not in_database:
        return _NO_TRANSACTION
    return None


def cells_of(kind: str, points: Iterable[Point]) -> list[tuple[Cell, str | None]]:
    """Every point with every victim, and why that cannot be, where it cannot."""
    return [
        (Cell(kind=kind, point=point.name, victim=victim), why_not(point, victim))
        for point in points
        for victim in Victim
    ]
