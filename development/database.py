"""Runs the PostgreSQL server of `./dev run` and restarts it when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from development import postgres
from development.paths import CannotRun
from development.supervisor import next_delay_s

_CHECK_EVERY_S = 0.5


class OwnDatabase:
    """A server in `folder`; a server that a killed run left behind is adopted. The caller must `stop` it."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._report = report
        self._supervision: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Returns the DSN once the server accepts connections. Raises CannotRun with PostgreSQL's own message."""
        try:
            dsn = await asyncio.to_thread(postgres.start, self._folder)
        except postgres.PostgresFailed as error:
            raise CannotRun(str(error)) from error
        self._supervision = asyncio.ensure_future(self._supervise())
        return dsn

    async def stop(self) -> None:
        """Stops the server, also one whose start was interrupted. Idempotent."""
        if self._supervision is not None:
            self._supervision.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervision
        await asyncio.to_thread(postgres.stop, self._folder)

    async def _supervise(self) -> None:
        # The server is not our child process, so that a later run can adopt it; its death can only be polled for.
        delay_s: float | None = None
        started = time.monotonic()
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            if postgres.running_pid(self._folder) is not None:
                continue
            delay_s = next_delay_s(delay_s, ran_s=time.monotonic() - started)
            self._report(f"PostgreSQL exited; restarting it in {delay_s:.0f} s.")
            await asyncio.sleep(delay_s)
            started = time.monotonic()
            try:
                await asyncio.to_thread(postgres.start, self._folder)
            except postgres.PostgresFailed as error:
                self._report(f"{error}")
