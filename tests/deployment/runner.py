"""What a deployment requires of whatever runs its daemons."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from innkeeper.http import Api

REGION, RACK, POSTGRES = "region", "rack", "postgres"


class Runner(Protocol):
    """Starts, kills and stops the daemons. A daemon is named `region`, `postgres`, or as its rack."""

    folder: Path

    @property
    def dsn(self) -> str:
        """The database, reached past every proxy."""

    @property
    def api(self) -> Api:
        """The region's API with the key of the account `admin`."""

    async def start_region(self) -> None:
        """Returns when the region is ready. It takes over ports, files and database of one that was killed."""

    async def start_rack(self, name: str = RACK) -> None:
        """Returns when the rack is linked. Enrols it first if it has no identity."""

    async def stop_rack(self, name: str = RACK) -> None:
        """Stops the rack in an orderly way; returns when the region has no link to it."""

    def kill(self, daemon: str) -> None:
        """Ends the daemon at once, as SIGKILL does."""

    async def restart(self, daemon: str) -> None:
        """Starts a daemon that was killed; returns when it is ready."""

    async def is_linked(self, name: str = RACK) -> bool:
        """Whether the region has a live link to this rack."""

    async def stop(self) -> None:
        """Ends every daemon. Idempotent."""
