"""The position of a database server in the history of its cluster. Pure."""

from __future__ import annotations

from attrs import frozen

FIRST_TIMELINE = 1  # of a server that was never promoted or recovered


@frozen
class Position:
    """The history of a server: `system` identifies the cluster, and each promotion begins a higher `timeline`."""

    system: str
    timeline: int

    def __str__(self) -> str:
        return f"timeline {self.timeline} of system {self.system}"

    def is_before(self, other: Position | None) -> bool:
        """Whether `other` continues the history of this one. Positions of two systems are not comparable."""
        return other is not None and self.system == other.system and self.timeline < other.timeline

    def follows(self, other: Position | None) -> bool:
        """Whether one promotion led from `other` to this position."""
        return other is not None and self.system == other.system and self.timeline == other.timeline + 1


def has_moved(seen: Position, *, recorded: Position | None, remembered: Position | None, is_new: bool) -> bool:
    """Whether the database shows an earlier moment than its regions may have used.

    `recorded` is the position up to which the database itself says that it was moved on, `remembered` the newest that
    this region has used. `is_new`: no region has used the database.
    """
    if seen == recorded or is_new:
        return False
    known = remembered if recorded is None else recorded
    return seen.timeline > FIRST_TIMELINE if known is None else seen != known
