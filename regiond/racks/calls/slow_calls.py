"""Checks whether a host still answers while a call to it has no response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from common.errors import DeadlineExceeded, HostHung, HostUnreachable, InnkeeperError
from common.rpc.commands.host_commands import HOST_REACH, HostCall
from common.rpc.link import Link
from common.values import HostAccess
from regiond.racks.calls.access_guard import greet

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

SLOW_AFTER_S = 5.0
PROBE_DEADLINE_S = 10.0  # a busy host answers a short read within seconds

ReportFailure = Callable[[int, InnkeeperError, float], Awaitable[None]]


class SlowCalls:
    """Detects hung hosts by short reads during slow calls.

    Some calls take minutes on a host that works, and a hung host still accepts connections: a failed short read is the
    only sign. After `slow_after_s` without a response, the host is read through the same rack repeatedly, until the
    call ends or the host does not answer; then `report` receives the error and the time at which that read began.
    There is one read at a time for each host, without credentials unless the rack `holds` them, and none while
    `answered_at` is recent (both times on the clock of `time.monotonic`).
    """

    def __init__(
        self,
        access_of: Callable[[int], Awaitable[HostAccess]],
        holds: Callable[[Link, int, HostCall], Awaitable[bool]],
        answered_at: Callable[[int], float | None],
        report: ReportFailure,
        *,
        slow_after_s: float = SLOW_AFTER_S,
        probe_deadline_s: float = PROBE_DEADLINE_S,
    ) -> None:
        self._access_of = access_of
        self._holds = holds
        self._answered_at = answered_at
        self._report = report
        self._slow_after_s = slow_after_s
        self._probe_deadline_s = probe_deadline_s
        self._probed: set[int] = set()

    @asynccontextmanager
    async def watching(self, link: Link, host_id: int) -> AsyncIterator[None]:
        """Watches the call in the block. Fast calls cost one timer."""
        began_at = time.monotonic()
        watches: list[asyncio.Task[None]] = []

        def begin() -> None:
            watches.append(asyncio.create_task(self._watch(link, host_id, began_at), name=f"slow-call-{host_id}"))

        timer = asyncio.get_running_loop().call_later(self._slow_after_s, begin)
        try:
            yield
        finally:
            timer.cancel()
            for watch in watches:
                watch.cancel()
            for failed in await asyncio.gather(*watches, return_exceptions=True):
                if isinstance(failed, Exception):
                    log.error("slow_call_watch_failed", host_id=host_id, exc_info=failed)

    async def _watch(self, link: Link, host_id: int, began_at: float) -> None:
        """Reads the host repeatedly until cancelled.

        After a failed read it waits until the host has answered another call: each read can leave a hung thread.
        """
        answered_at, failed_at = began_at, None
        while True:
            answered_at = max(answered_at, self._answered_at(host_id) or began_at)
            is_quiet = time.monotonic() - answered_at >= self._slow_after_s
            is_known = failed_at is not None and answered_at <= failed_at
            if is_quiet and not is_known and host_id not in self._probed:
                self._probed.add(host_id)
                try:
                    if await self._answers(link, host_id, answered_at):
                        answered_at = time.monotonic()
                    else:
                        failed_at = time.monotonic()
                finally:
                    self._probed.discard(host_id)
            await asyncio.sleep(self._slow_after_s)

    async def _answers(self, link: Link, host_id: int, answered_at: float) -> bool:
        """Returns whether the host answers a read; reports a host that does not. It last answered at `answered_at`."""
        probe_at = time.monotonic()
        try:
            call = HostCall(access=await self._access_of(host_id))
            if await self._holds(link, host_id, call):
                await link.call(HOST_REACH, call, deadline_s=self._probe_deadline_s)
            else:
                await greet(link, call.access)  # the slow call may be the first contact, which has no credentials
        except (HostUnreachable, HostHung) as error:
            await self._report(host_id, error, probe_at)
            return False
        except DeadlineExceeded:
            silent_s = time.monotonic() - answered_at
            silent = HostUnreachable(f"The host has not answered rack {link.peer.name} for {silent_s:.0f} s.")
            await self._report(host_id, silent, probe_at)
            return False
        except InnkeeperError as error:  # the rack, its link or the database failed, or the host answered with an error
            log.info("host_not_probed", host_id=host_id, code=error.code)
        return True
