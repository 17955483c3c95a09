"""The points at which something can be killed, and what can be killed there. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from attrs import frozen

from tests.faults.cells import Cell, Victim


class Place(StrEnum):
    COMMIT = "commit"  # of a transaction of the region
    ACQUIRE = "acquire"  # a statement that leases an operation; commits by itself
    CALL = "call"  # from one daemon to the other
    HOST = "host"  # a call of the rack to the hypervisor


class Side(StrEnum):
    BEFORE = "before"
    AFTER = "after"


@frozen(kw_only=True)
class Point:
    """`label` is the same in every run: prefix, place, what, and its number among equal ones."""

    label: str
    place: Place
    side: Side

    @property
    def name(self) -> str:
        return f"{self.label} {self.side}"


_LOST_COMMIT_ANSWER = "the answer of a commit comes from the database; `connection` after the commit loses it"
_NOTHING_DONE = "nothing has acted yet, so no answer can be lost"
_NO_TRANSACTION = "no transaction is open during a call"


def why_not(point: Point, victim: Victim) -> str | None:
    """Why this victim cannot be killed at this point; None if it can."""
    in_database = point.place in (Place.COMMIT, Place.ACQUIRE)
    if victim is Victim.ANSWER:
        if in_database:
            return _LOST_COMMIT_ANSWER
        return _NOTHING_DONE if point.side is Side.BEFORE else None
    if victim is Victim.CONNECTION and not in_database:
        return _NO_TRANSACTION
    return None


def cells_of(kind: str, points: Iterable[Point]) -> list[tuple[Cell, str | None]]:
    """Every point with every victim, and why a cell is impossible, if it is."""
    return [
        (Cell(kind=kind, point=point.name, victim=victim), why_not(point, victim))
        for point in points
        for victim in Victim
    ]
