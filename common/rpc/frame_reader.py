"""Reads the frames of one connection: in short turns, no faster than its peer's budget allows."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from common.rpc.framing import FrameBuffer, FrameTooLong

TURN_S = 0.002  # after so long, other connections are next: a read of 64 KiB may hold hundreds of frames

# Takes what a frame of so many bytes costs, and returns 0; or takes nothing, and returns the seconds to wait.
Take = Callable[[int], float]


class Inflow:
    """The budget of one connection, which is not read until its peer has paid for what it sent.

    `pause` and `resume` stop and continue its reading.
    """

    def __init__(self, take: Take, *, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._take = take
        self._pause = pause
        self._resume = resume
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def frame_read(self, size_bytes: int) -> None:
        """Pauses until the frame, which has been acted on, is paid for."""
        if not self._stopped and (wait_s := self._take(size_bytes)) > 0:
            self._pause()
            self._pay_later(size_bytes, wait_s)

    def stop(self) -> None:
        """Delays nothing from now on. Idempotent."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _pay_later(self, size_bytes: int, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._pay, size_bytes)

    def _pay(self, size_bytes: int) -> None:
        wait_s = self._take(size_bytes)
        if wait_s > 0:  # another connection of the peer was faster
            self._pay_later(size_bytes, wait_s)
        else:
            self._resume()


class Readable(Protocol):
    """A connection whose reading can be paused, as Twisted calls it."""

    def pauseProducing(self) -> object: ...  # noqa: N802  # Twisted's

    def resumeProducing(self) -> object: ...  # noqa: N802  # Twisted's


class FrameReader:
    """Created paused: `start` says what to do with the frames. What arrives before is kept, after `stop` discarded."""

    def __init__(self, connection: Readable) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._frames = FrameBuffer()
        self._receive: Callable[[bytes], None] | None = None
        self._reject: Callable[[str], None] | None = None
        self._inflow: Inflow | None = None
        self._max_bytes = 0
        self._is_paused = True
        self._next_turn: asyncio.Handle | None = None
        self.discarded_bytes = 0
        connection.pauseProducing()

    def start(
        self, receive: Callable[[bytes], None], reject: Callable[[str], None], *, max_bytes: int, take: Take | None
    ) -> None:
        """Calls `receive` with each frame; `reject`, with the reason, for one of more than `max_bytes`.

        With `take`, the frames have a budget. Either function may call `stop`.
        """
        self._receive, self._reject, self._max_bytes = receive, reject, max_bytes
        if take is not None:
            self._inflow = Inflow(take, pause=self._pause, resume=self._resume)
        self._resume()

    def data_arrived(self, data: bytes) -> None:
        if self._receive is None and not self._is_paused:
            self.discarded_bytes += len(data)
            return
        self._frames.add(data)
        self._take_turn(TURN_S)

    def finish(self) -> None:
        """Passes on what awaits its turn: the connection is lost, and the last frame may say why."""
        if self._next_turn is not None:
            self._is_paused = False
            self._take_turn(math.inf)
        self.stop()

    def stop(self) -> None:
        """Discards whatever arrives. Reads on, since a paused connection would not notice its end. Idempotent."""
        self._receive = None
        if self._inflow is not None:
            self._inflow.stop()
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        self._frames.clear()
        if self._is_paused:
            self._is_paused = False
            self._connection.resumeProducing()

    def _take_turn(self, turn_s: float) -> None:
        ends_at = self._loop.time() + turn_s
        while self._receive is not None and not self._is_paused:
            try:
                frame = self._frames.next(self._max_bytes)
            except FrameTooLong as error:
                if self._reject is not None:
                    self._reject(str(error))
                return
            if frame is None:
                return
            self._receive(frame)
            if self._inflow is not None:
                self._inflow.frame_read(len(frame))
            if self._loop.time() >= ends_at:
                self._end_turn()

    def _end_turn(self) -> None:
        if self._receive is not None and not self._is_paused:
            self._pause()
            self._next_turn = self._loop.call_soon(self._resume)

    def _pause(self) -> None:
        self._is_paused = True
        self._connection.pauseProducing()

    def _resume(self) -> None:
        self._is_paused, self._next_turn = False, None
        self._connection.resumeProducing()
        self._take_turn(TURN_S)
