"""One user's connection to a console: bytes in both directions until one side, or a limit, ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from common.errors import InnkeeperError, NotFound
from common.rpc.console_commands import CONSOLE_PART_BYTES, HOST_CONSOLE_INPUT, ConsoleInput, ConsoleOutput
from regiond.machines.console.limits import ConsoleLimits
from regiond.racks.service import HostStream

INPUT_DEADLINE_S = 15.0
ENDED = "The virtual machine has ended the console."
CLOSED = "You closed the console."


class Terminal(Protocol):
    """The terminal of the user."""

    async def receive(self) -> bytes | None:
        """Returns the next input, when it arrives; None when the user has closed the terminal."""

    async def send(self, data: bytes) -> None:
        """Returns when the user's connection has room for more."""


class ConsoleConnection:
    """A connection. `console_id` names the console at the rack of `stream`."""

    def __init__(
        self,
        stream: HostStream[ConsoleOutput],
        terminal: Terminal,
        console_id: str,
        limits: ConsoleLimits,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._terminal = terminal
        self._console_id = console_id
        self._limits = limits
        self._now_s = now_s
        self._opened_s = self._typed_s = now_s()

    async def run(self, still_allowed: Callable[[], Awaitable[bool]]) -> str:
        """Runs the connection and returns the reason of its end. Raises the error of host or rack that ended it."""
        tasks = [asyncio.ensure_future(self._show()), asyncio.ensure_future(self._type())]
        try:
            while True:
                done, _ = await asyncio.wait(
                    tasks, timeout=self._limits.check_every_s, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return min(done, key=tasks.index).result()
                if (reason := self._limit()) is not None:
                    return reason
                if not await still_allowed():
                    return "You may not see this console any more."
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self) -> str:
        async for output in self._stream.items:
            await self._terminal.send(output.data)
        return ENDED

    async def _type(self) -> str:
        while (data := await self._terminal.receive()) is not None:
            self._typed_s = self._now_s()
            for start in range(0, len(data), CONSOLE_PART_BYTES):
                part = ConsoleInput(console_id=self._console_id, data=data[start : start + CONSOLE_PART_BYTES])
                try:
                    await self._stream.call(HOST_CONSOLE_INPUT, part, deadline_s=INPUT_DEADLINE_S)
                except NotFound:
                    return ENDED
                except InnkeeperError as error:
                    return error.message
        return CLOSED

    def _limit(self) -> str | None:
        limits, now_s = self._limits, self._now_s()
        if now_s - self._typed_s >= limits.idle_s:
            return f"Nothing was typed for {limits.idle_s / 60:g} minutes. Open the console again to continue."
        if now_s - self._opened_s >= limits.longest_s:
            return f"The console was open for {limits.longest_s / 3600:g} hours. Open it again to continue."
        return None
