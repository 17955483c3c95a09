"""Passes the reports of booted guests on to a region."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from common.errors import DeadlineExceeded, InnkeeperError, LinkLost
from common.rpc.commands import DEPLOYMENT_REPORT, ReportCall
from common.vm_host_report import VmHostReport
from rackd.region_content import CallingLink

REPORT_DEADLINE_S = 10.0
_NEXT_REGION = (LinkLost, DeadlineExceeded)


class GuestReports:
    """`links` returns the open links to regions. Create it anywhere, call `report` in the event loop's thread."""

    def __init__(self, links: Callable[[], Sequence[CallingLink]]) -> None:
        self._links = links
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self) -> None:
        """Enables `report_from_thread`. Call it in the event loop's thread."""
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

    def report_from_thread(self, deployment_id: int, secret: str) -> None:
        """As `report`, and blocks. Raises LinkLost before the rack runs."""
        if self._loop is None or self._loop.is_closed():
            raise LinkLost("The rack does not run.")
        reporting = asyncio.run_coroutine_threadsafe(self.report(deployment_id, secret), self._loop)
        try:
            reporting.result(3 * REPORT_DEADLINE_S)
        except TimeoutError:
            raise LinkLost("No region answered in time.") from None
