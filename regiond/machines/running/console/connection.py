"""One user's connection to a console: bytes in both directions until one side, or a limit, ends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from attrs import define

from common.errors import InnkeeperError, NotFound
from common.rpc.commands.console_commands import CONSOLE_PART_BYTES, HOST_CONSOLE_INPUT, ConsoleInput, ConsoleOutput
from regiond.machines.running.console.activity import Activity, Always
from regiond.machines.running.console.limits import ConsoleLimits
from regiond.racks.calls.host_stream import HostStream

INPUT_DEADLINE_S = 15.0


@define
class Use:
    """When a console was opened, and last used. The connections of one screen share it."""

    opened_s: float
    used_s: float


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
        noun: str = "console",
        use: Use | None = None,
        activity: Activity | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`activity` tells what the user did from what the terminal sends by itself; None: all is typed."""
        self._stream = stream
        self._terminal = terminal
        self._console_id = console_id
        self._limits = limits
        self._now_s = now_s
        self._noun = noun
        self._use = use or Use(now_s(), now_s())
        self._activity = activity or Always()

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
                    return f"You may not see this {self._noun} any more."
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _show(self) -> str:
        async for output in self._stream.items:
            await self._terminal.send(output.data)
        return self._ended

    async def _type(self) -> str:
        while (data := await self._terminal.receive()) is not None:
            if self._activity.is_of_user(data):
                self._use.used_s = self._now_s()
            for start in range(0, len(data), CONSOLE_PART_BYTES):
                part = ConsoleInput(console_id=self._console_id, data=data[start : start + CONSOLE_PART_BYTES])
                try:
                    await self._stream.call(HOST_CONSOLE_INPUT, part, deadline_s=INPUT_DEADLINE_S)
                except NotFound:
                    return self._ended
                except InnkeeperError as error:
                    return error.message
        return f"You closed the {self._noun}."

    @property
    def _ended(self) -> str:
        return f"The virtual machine has ended the {self._noun}."

    def _limit(self) -> str | None:
        limits, now_s, noun = self._limits, self._now_s(), self._noun
        if now_s - self._use.used_s >= limits.idle_s:
            return f"Nothing was typed for {limits.idle_s / 60:g} minutes. Open the {noun} again to continue."
        if now_s - self._use.opened_s >= limits.longest_s:
            return f"The {noun} was open for {limits.longest_s / 3600:g} hours. Open it again to continue."
        return None
