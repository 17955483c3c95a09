"""The position of a database server in the history of its cluster. Pure."""

from __future__ import annotations

from attrs import frozen


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
