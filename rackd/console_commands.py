"""Handles the region's commands for the consoles of guests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, field, frozen

from common.errors import Busy, Cancelled, InvalidRequest, NotFound
from common.rpc.commands.command import Command, Done
from common.rpc.commands.console_commands import (
    CONSOLE_PART_BYTES,
    HOST_CONSOLE,
    HOST_CONSOLE_INPUT,
    HOST_CONSOLE_LOG,
    HOST_SCREEN,
    MAX_CONSOLE_LOG_BYTES,
    ConsoleCall,
    ConsoleInput,
    ConsoleLog,
    ConsoleLogCall,
    ConsoleOutput,
    ScreenCall,
)
from common.rpc.commands.host_method import CallClass
from common.rpc.handlers import Handler
from rackd.console_session import ConsoleSession
from rackd.drivers.contract import ConsoleStream, Driver
from rackd.executor import Executor

LOG_DEADLINE_S = 30.0
OPEN_DEADLINE_S = 30.0
MAX_CONSOLES = 64  # of one rack, with two threads each


@frozen(eq=False)
class _Open:
    """A console, and the link that may type into it."""

    session: ConsoleSession
    link: Any


class ConsoleCommands:
    def __init__(self, executor: Executor, *, max_consoles: int = MAX_CONSOLES) -> None:
        self._executor = executor
        self._max_consoles = max_consoles
        self._open: dict[str, _Open] = {}
        self._of_host: Counter[int] = Counter()  # open, or being opened

    def handlers(self) -> Mapping[Command[Any, Any], Handler]:
        return {
            HOST_CONSOLE: self.open,
            HOST_SCREEN: self.open_screen,
            HOST_CONSOLE_INPUT: self.type,
            HOST_CONSOLE_LOG: self.log,
        }

    def open(self, link: Any, call: ConsoleCall) -> AsyncGenerator[ConsoleOutput, None]:
        """Ends with the console. A cancellation, or the end of the link, ends the console."""
        opening = _Opening(connect=lambda driver: driver.open_console(call.guest))
        return self._relay(link, call, opening, loses_output=True)

    def open_screen(self, link: Any, call: ScreenCall) -> AsyncGenerator[ConsoleOutput, None]:
        """Ends as `open` does."""
        opening = _Opening(connect=lambda driver: driver.open_screen(call.guest))
        return self._relay(link, call, opening, loses_output=False)

    async def _relay(
        self, link: Any, call: ConsoleCall | ScreenCall, opening: _Opening, *, loses_output: bool
    ) -> AsyncGenerator[ConsoleOutput, None]:
        if self._of_host.total() >= self._max_consoles:
            raise Busy(f"This rack has {self._max_consoles} consoles open, which is its limit. Close one.")
        if call.console_id in self._open:
            raise InvalidRequest("There is a console with this id.")
        with self._counted(call.access.host_id):
            session = ConsoleSession(await self._connect(call, opening), loses_output=loses_output)
            self._open[call.console_id] = _Open(session=session, link=link)
            try:
                yield ConsoleOutput(data=b"")
                while data := await session.output():
                    yield ConsoleOutput(data=data)
            finally:
                session.close()
                del self._open[call.console_id]

    @contextmanager
    def _counted(self, host_id: int) -> Iterator[None]:
        """The connection through which a host's consoles are opened is closed after the last of them."""
        self._of_host[host_id] += 1
        try:
            yield
        finally:
            self._of_host -= Counter((host_id,))  # drops a count of 0
            if host_id not in self._of_host:
                self._executor.close_connections(host_id, CallClass.CONSOLE)

    async def type(self, link: Any, call: ConsoleInput) -> Done:
        found = self._open.get(call.console_id)
        if found is None or found.link is not link:
            raise NotFound("The console has ended.")
        if len(call.data) > CONSOLE_PART_BYTES:
            raise InvalidRequest(f"Input has at most {CONSOLE_PART_BYTES} bytes.")
        found.session.type(call.data)
        return Done()

    async def log(self, _: Any, call: ConsoleLogCall) -> ConsoleLog:
        max_bytes = max(1, min(call.max_bytes, MAX_CONSOLE_LOG_BYTES))
        content = await self._executor.run(
            call.access,
            lambda driver: driver.console_log(call.guest, max_bytes=max_bytes),
            what="read console log",
            deadline_s=LOG_DEADLINE_S,
            call_class=CallClass.QUICK,
        )
        return ConsoleLog(content=content[-max_bytes:])

    async def _connect(self, call: ConsoleCall | ScreenCall, opening: _Opening) -> ConsoleStream:
        try:
            return await self._executor.run(
                call.access,
                opening.open,
                what="open console",
                deadline_s=OPEN_DEADLINE_S,
                call_class=CallClass.CONSOLE,
            )
        except BaseException:
            opening.give_up()
            raise


@define(eq=False)
class _Opening:
    """A console that is being opened in a thread, whose caller may be gone when it is open."""

    connect: Callable[[Driver], ConsoleStream]
    _lock: threading.Lock = field(factory=threading.Lock)
    _stream: ConsoleStream | None = None
    _given_up: bool = False

    def open(self, driver: Driver) -> ConsoleStream:
        stream = self.connect(driver)
        with self._lock:
            self._stream = stream
            given_up = self._given_up
        if given_up:
            stream.close()
            raise Cancelled("Nobody waits for this console any more.")
        return stream

    def give_up(self) -> None:
        """Closes the console, now or when it is open. Does not wait."""
        with self._lock:
            self._given_up = True
            stream = self._stream
        if stream is not None:
            threading.Thread(target=stream.close, name="console-close", daemon=True).start()
