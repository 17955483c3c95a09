"""Passes the reports of booted guests on to a region, and brings them their user data from there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from common.errors import DatabaseUnavailable, DeadlineExceeded, InnkeeperError, LinkLost
from common.hosts.vm_host_report import VmHostReport
from common.rpc.commands.command import Command
from common.rpc.commands.region_commands import DEPLOYMENT_REPORT, DEPLOYMENT_USER_DATA, ReportCall, UserDataCall
from rackd.region_content import CallingLink

T = TypeVar("T")

REPORT_DEADLINE_S = 10.0
USER_DATA_DEADLINE_S = 120.0
_NEXT_REGION = (LinkLost, DeadlineExceeded)
# cloud-init waits 5 s for an answer and tries 11 times: with this the regions may be away for 50 s, otherwise for 10.
WAIT_S = 4.0
_EVERY_S = 0.25


class StreamingLink(CallingLink, Protocol):
    """The part of a `common.rpc.link.Link` that `GuestReports` uses."""

    def stream(self, command: Command[Any, Any], request: Any, *, deadline_s: float) -> AsyncGenerator[Any, None]: ...


class GuestReports:
    """`links` returns the open links to regions. Create it anywhere, call the coroutines in the event loop's thread."""

    def __init__(self, links: Callable[[], Sequence[StreamingLink]]) -> None:
        self._links = links
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self) -> None:
        """Enables the methods for threads. Call it in the event loop's thread."""
        self._loop = asyncio.get_running_loop()

    async def report(self, deployment_id: int, secret: str, vm_host: VmHostReport | None = None) -> None:
        """Raises the region's error: NotFound for an unknown deployment or a wrong secret, WrongState for a repeat.

        Raises LinkLost if no region answered.
        """
        error: InnkeeperError = LinkLost("The rack has no link to any region.")
        for link in self._links():
            try:
                await link.call(
                    DEPLOYMENT_REPORT, ReportCall(deployment_id=deployment_id, secret=secret, vm_host=vm_host),
                    deadline_s=REPORT_DEADLINE_S,
                )  # fmt: skip
            except _NEXT_REGION as failed:
                error = failed
            else:
                return
        raise error

    async def user_data(self, deployment_id: int, secret: str) -> AsyncGenerator[bytes, None]:
        """Yields the user data of a guest whose hypervisor does not store them; waits some seconds for a region.

        Raises the region's error: NotFound for an unknown deployment or a wrong secret, TooManyAttempts. Raises
        LinkLost if no region answered or the region was lost on the way.
        """
        call = UserDataCall(deployment_id=deployment_id, secret=secret)
        error: InnkeeperError = LinkLost("The rack has no link to any region.")
        for _ in range(int(WAIT_S / _EVERY_S) + 1):
            for link in self._links():
                begun = False
                try:
                    async with aclosing(
                        link.stream(DEPLOYMENT_USER_DATA, call, deadline_s=USER_DATA_DEADLINE_S)
                    ) as parts:
                        async for part in parts:
                            begun = True
                            yield part.data
                except (*_NEXT_REGION, DatabaseUnavailable) as failed:
                    if begun:
                        raise
                    error = failed
                else:
                    return
            await asyncio.sleep(_EVERY_S)
        raise error

    def report_from_thread(self, deployment_id: int, secret: str) -> None:
        """Blocks until `report` has returned. Raises LinkLost before the rack runs."""
        self._from_thread(self.report(deployment_id, secret))

    def user_data_from_thread(self, deployment_id: int, secret: str) -> bytes:
        """Returns all of `user_data`, and blocks. Raises LinkLost before the rack runs."""

        async def gathered() -> bytes:
            return b"".join([part async for part in self.user_data(deployment_id, secret)])

        return self._from_thread(gathered())

    def _from_thread(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None or self._loop.is_closed():
            work.close()
            raise LinkLost("The rack does not run.")
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result(3 * REPORT_DEADLINE_S)
        except TimeoutError:
            raise LinkLost("No region answered in time.") from None
