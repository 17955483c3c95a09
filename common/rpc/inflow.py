"""Delays a peer that sends more than its budget: its connection is not read until it has paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Takes what a frame of so many bytes costs, and returns 0; or takes nothing, and returns the seconds to wait.
Take = Callable[[int], float]


class Inflow:
    """The budget of one connection. `pause` and `resume` stop and continue its reading."""

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
        """From now on nothing is delayed. Idempotent."""
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
