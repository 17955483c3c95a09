"""One open console: one thread reads from the guest, another writes to it.

Output that nobody takes is dropped, the oldest first: neither a guest that writes without end nor a slow reader takes
memory or delays other calls. A screen's protocol survives no gap: there the guest is read no further instead.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable

import structlog

from common.errors import Busy, InnkeeperError, NotFound
from common.rpc.commands.console_commands import CONSOLE_PART_BYTES
from rackd.drivers.contract import ConsoleStream

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_WAITING_BYTES = 256 * 1024  # of output
_MAX_INPUTS = 64
_MAX_HANDED_OVER = 8  # parts that the reading thread is ahead of the event loop
_DROPPED = b"\r\n[output was dropped]\r\n"


class ConsoleSession:
    """Create and use it in the event loop's thread."""

    def __init__(self, stream: ConsoleStream, *, loses_output: bool = True) -> None:
        """Takes over the stream. Without `loses_output` the guest waits until its output is taken."""
        self._loop = asyncio.get_running_loop()
        self._stream = stream
        self._loses_output = loses_output
        self._held = 0  # parts for which the reading thread waits
        self._output = bytearray()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: InnkeeperError | None = None
        self._inputs: queue.Queue[bytes | None] = queue.Queue(_MAX_INPUTS)
        self._turns = threading.BoundedSemaphore(_MAX_HANDED_OVER)
        for name, work in (("console-read", self._read), ("console-write", self._write)):
            threading.Thread(target=work, name=name, daemon=True).start()

    async def output(self) -> bytes:
        """Waits for output and returns some of it; empty when the guest has ended the console. Raises its error."""
        while not self._output and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        part = bytes(self._output[:CONSOLE_PART_BYTES])
        del self._output[:CONSOLE_PART_BYTES]
        if len(self._output) < MAX_WAITING_BYTES:
            self._release()
        if not part and self._error is not None:
            raise self._error
        return part

    def type(self, data: bytes) -> None:
        """Passes input to the guest. Raises NotFound once the console has ended, Busy if the guest does not take it."""
        if self._ended:
            raise NotFound("The console has ended.")
        try:
            self._inputs.put_nowait(data)
        except queue.Full:
            raise Busy("The guest does not take its input.") from None

    def close(self) -> None:
        """Idempotent; does not wait."""
        if not self._ended:
            self._end(None)
        self._release()
        threading.Thread(target=self._stream.close, name="console-close", daemon=True).start()
        while True:
            try:
                self._inputs.put_nowait(None)  # ends the writing thread
            except queue.Full:
                self._inputs.get_nowait()
            else:
                return

    def _read(self) -> None:
        error: InnkeeperError | None = None
        try:
            while data := self._stream.read():
                self._turns.acquire()
                if not self._in_loop(self._received, data):
                    return
        except InnkeeperError as raised:
            error = raised
        except Exception:  # a bug of a driver ends the console, not the rack
            log.exception("console_read_failed")
        self._in_loop(self._end, error)

    def _write(self) -> None:
        try:
            while (data := self._inputs.get()) is not None:
                self._stream.write(data)
        except InnkeeperError as raised:
            self._in_loop(self._end, raised)
        except Exception:  # as above
            log.exception("console_write_failed")
            self._in_loop(self._end, None)

    def _in_loop(self, work: Callable[..., None], argument: object) -> bool:
        """Returns False if the process is ending."""
        try:
            self._loop.call_soon_threadsafe(work, argument)
        except RuntimeError:
            return False
        return True

    def _release(self) -> None:
        """Lets the reading thread go on."""
        while self._held:
            self._held -= 1
            self._turns.release()

    def _received(self, data: bytes) -> None:
        self._held += 1
        self._output += data
        if self._loses_output or self._ended or len(self._output) < MAX_WAITING_BYTES:
            self._release()
        if self._loses_output and len(self._output) > MAX_WAITING_BYTES:
            kept = self._output[-MAX_WAITING_BYTES // 2 :]
            self._output[:] = _DROPPED + kept
        self._changed.set()

    def _end(self, error: InnkeeperError | None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
        self._changed.set()
