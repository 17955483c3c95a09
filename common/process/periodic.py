"""Runs a function periodically, supervised, from start to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from attrs import frozen

from common.errors import InnkeeperError
from common.process.exhaustion import exhaustion
from common.rate_limit import RateLimiter

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

SAME_FAILURE_EVERY_S = 60.0
AFTER_START_S = 60.0  # `first_after_s` of work that must not slow the first answers of a daemon that has just started


@frozen
class NextRoundIn:
    """The result of a round after which the next one is due earlier or later than `every_s`."""

    seconds: float


class PeriodicTask:
    """Calls `work` again `every_s` seconds after each round has ended.

    A round that raises is logged, the same failure at most once a minute, and the next round follows. A round that
    returns `NextRoundIn` sets its own pause. The first round starts after `first_after_s` seconds. `sleep` replaces
    asyncio.sleep, for a scheduler with its own clock.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        every_s: float,
        first_after_s: float = 0.0,
        sleep: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        self._name = name
        self._work = work
        self._every_s = every_s
        self._first_after_s = first_after_s
        self._sleep = sleep
        self._woken = asyncio.Event()
        self._failures = RateLimiter(every_s=SAME_FAILURE_EVERY_S)
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """Why the last round failed; None if it did not."""
        return self._problem

    def start(self) -> None:
        """Requires a running event loop. Raises RuntimeError if the task runs already."""
        if self._task is not None:
            raise RuntimeError(f"{self._name} has already started")
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Cancels the current round and waits until it has ended. Idempotent; may be called before `start`."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def wake(self) -> None:
        """Starts the next round now, or directly after the current one."""
        self._woken.set()

    async def _run(self) -> None:
        if self._first_after_s > 0:
            await self._pause(self._first_after_s)
        while True:
            self._woken.clear()
            await self._pause(await self._round())

    async def _round(self) -> float:
        """Returns the seconds until the next round."""
        problem: str | None = "failed unexpectedly"
        try:
            result = await self._work()
            problem = None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            log.exception("periodic_task_failed", task=self._name)  # the round cancelled something and met it itself
        except Exception as error:  # a bug in one round must not end the task
            reason = _reason(error)
            problem = reason or problem
            if self._failures.allow(reason or repr(error)):
                if reason is None:
                    log.exception("periodic_task_failed", task=self._name)
                else:
                    log.warning("periodic_task_failed", task=self._name, reason=reason)
        else:
            if isinstance(result, NextRoundIn):
                return result.seconds
        finally:
            self._problem = problem
        return self._every_s

    async def _pause(self, seconds: float) -> None:
        if self._woken.is_set():
            return
        if self._sleep is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            return
        sleeping = asyncio.ensure_future(self._sleep(seconds))
        woken = asyncio.ensure_future(self._woken.wait())
        try:
            await asyncio.wait({sleeping, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            woken.cancel()
            await asyncio.gather(sleeping, woken, return_exceptions=True)


def _reason(error: Exception) -> str | None:
    """Returns what prevented the work, in words; None for a bug."""
    if isinstance(error, InnkeeperError | TimeoutError):
        return str(error) or "timed out"
    return exhaustion(error)
