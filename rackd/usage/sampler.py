"""Reads the counters of every host that a region watches through this rack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import structlog

from common.errors import InnkeeperError
from common.hosts.usage import EVERY_S, SAMPLES
from common.process.periodic import NextRoundIn, PeriodicTask
from common.rate_limit import RateLimiter
from common.rpc.commands.host_method import CallClass
from common.values import HostAccess
from rackd.drivers.contract import Driver
from rackd.executor import Executor
from rackd.usage.history import Histories, Reading

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

DEADLINE_S = 60.0
PAUSE_S = 60.0  # after a failed reading: three abandoned calls would make all calls of the host fail
CONCURRENT = 8
SAME_FAILURE_EVERY_S = 3600.0

Watched = Callable[[], Mapping[int, HostAccess]]


class UsageSampler:
    """`watched` returns the hosts that a region watches, with what the rack needs to call them.

    A slow host delays no other: its next reading begins after the one that runs.
    """

    def __init__(self, executor: Executor, watched: Watched, histories: Histories, *, every_s: float = EVERY_S) -> None:
        """With `every_s` 0, nothing is read."""
        self._executor = executor
        self._watched = watched
        self._histories = histories
        self._every_s = every_s
        self._limit = asyncio.Semaphore(CONCURRENT)
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._paused_until: dict[int, float] = {}
        self._failures = RateLimiter(every_s=SAME_FAILURE_EVERY_S)
        self._task = PeriodicTask("usage_sampler", self._round, every_s=every_s)

    def start(self) -> None:
        if self._every_s:
            self._task.start()

    async def stop(self) -> None:
        """Idempotent."""
        await self._task.stop()
        for task in tuple(self._reading.values()):
            task.cancel()
        await asyncio.gather(*tuple(self._reading.values()), return_exceptions=True)

    async def sample(self) -> None:
        """Reads every host now, and returns when all have answered or failed."""
        await asyncio.gather(*self._begin())

    async def _round(self) -> NextRoundIn:
        began_s = time.monotonic()
        if tasks := self._begin():
            await asyncio.wait(tasks, timeout=self._every_s)
        return NextRoundIn(max(0.0, self._every_s - (time.monotonic() - began_s)))

    def _begin(self) -> list[asyncio.Task[None]]:
        watched, now_s = self._watched(), time.monotonic()
        self._forget(watched)
        begun = []
        for host_id in watched:
            if host_id in self._reading or self._paused_until.get(host_id, 0.0) > now_s:
                continue
            task = asyncio.create_task(self._read(host_id), name=f"usage_of_host_{host_id}")
            self._reading[host_id] = task
            task.add_done_callback(partial(self._ended, host_id))
            begun.append(task)
        return begun

    def _ended(self, host_id: int, _: asyncio.Task[None]) -> None:
        del self._reading[host_id]

    def _forget(self, watched: Iterable[int]) -> None:
        """Closes the connections of hosts that are watched no more, and drops their samples when they are too old."""
        known = set(watched)
        sampled = {one.host_id for one in self._histories}
        for host_id in sampled - known:
            self._executor.close_connections(host_id, CallClass.USAGE)
        for host_id in self._paused_until.keys() - known:
            del self._paused_until[host_id]
        self._histories.forget(before_s=time.time() - self._every_s * SAMPLES)

    async def _read(self, host_id: int) -> None:
        async with self._limit:
            access = self._watched().get(host_id)
            if access is None:  # its credentials were deleted while it waited
                return
            try:
                reading = await self._executor.run(
                    access,
                    partial(_reading_of, access.project),
                    what="usage",
                    deadline_s=DEADLINE_S,
                    call_class=CallClass.USAGE,
                )
            except InnkeeperError as error:
                self._paused_until[host_id] = time.monotonic() + PAUSE_S
                if self._failures.allow(f"{host_id} {error.code}"):
                    log.warning("usage_not_read", host_id=host_id, code=error.code, reason=error.message)
                return
            self._histories.add(host_id, reading)


def _reading_of(project: str, driver: Driver) -> Reading:
    counters = driver.usage()
    return Reading(counters=counters, project=project, at_s=time.time(), clock_s=time.monotonic())
