"""Maintenance of hosts: since when a host takes no new machines, set by whom and why. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attrs import frozen


@frozen(kw_only=True)
class Maintenance:
    """A host in maintenance takes no new machine. `by` is an account's name; `reason` may be empty.

    `holder` is what began it and ends it by itself; None: a person did.
    """

    since: datetime
    by: str
    reason: str
    holder: str | None = None

    @classmethod
    def of_row(cls, row: Any) -> Maintenance | None:
        """Returns the maintenance of a row of `vm_host`; None if the host is not in maintenance."""
        since, by, reason = row["maintenance_since"], row["maintenance_by"], row["maintenance_reason"]
        if since is None:
            return None
        return cls(since=since, by=by or "", reason=reason or "", holder=row["maintenance_holder"])

    @property
    def description(self) -> str:
        """Returns the words that follow "is in maintenance"."""
        said = f": {self.reason}" if self.reason else ""
        return f"since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC by {self.by}{said}"
