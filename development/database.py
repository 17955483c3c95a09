"""The PostgreSQL of a development run: kept running like the daemons, or somebody else's and left alone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from development import postgres
from development.places import CannotRun
from development.supervisor import next_delay_s

_LOOK_EVERY_S = 0.5


class OwnDatabase:
    """A server in `folder`. One that a killed run left behind is adopted. Always `stop` it."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """The DSN, once the server takes connections. Raises CannotRun with PostgreSQL's own words."""
        try:
            dsn = await asyncio.to_thread(postgres.start, self._folder)
        except postgres.PostgresFailed as error:
            raise CannotRun(str(error)) from error
        self._keeping = asyncio.ensure_future(self._keep())
        return dsn

    async def stop(self) -> None:
        """Stop the server, also one whose start was interrupted. Harmless when none runs."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        await asyncio.to_thread(postgres.stop, self._folder)

    async def _keep(self) -> None:
        # The server is nobody's child, so that it can be adopted: its death has to be looked for.
        delay_s: float | None = None
        began = time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if postgres.running_pid(self._folder) is not None:
                continue
            delay_s = next_delay_s(delay_s, ran_s=time.monotonic() - began)
            self._tell(f"PostgreSQL ended; starting it again in {delay_s:.0f} s.")
            await asyncio.sleep(delay_s)
            began = time.monotonic()
            try:
                await asyncio.to_thread(postgres.start, self._folder)
            except postgres.PostgresFailed as error:
                self._tell(f"{error}")
