"""Reports of guests of an LXD server, sent as soon as they run: cloud-init sends them at the end of the boot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.doubles.guest_reports import send_report, url_of_report
from tests.lab.servers.lxd_server import LxdServer

_EVERY_S = 0.5


@asynccontextmanager
async def reporting_early(server: LxdServer, guest_url: str) -> AsyncIterator[None]:
    """Reports for each guest that starts on the server until the end, to the address that its instance has."""

    async def report() -> None:
        reported: set[str] = set()
        while True:
            with suppress(OSError, AssertionError):  # no answer in time, or LXD's error: it is asked and sent again
                for url in await asyncio.to_thread(_addresses, server, guest_url) - reported:
                    if await asyncio.to_thread(send_report, url):
                        reported.add(url)
            await asyncio.sleep(_EVERY_S)

    task = asyncio.create_task(report())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _addresses(server: LxdServer, guest_url: str) -> set[str]:
    """Where the running guests report."""
    running = [one for one in server.ask("/1.0/instances?recursion=1") if one["status"] == "Running"]
    found = {url_of_report(guest_url, one["config"].get("cloud-init.user-data", "").encode()) for one in running}
    return {url for url in found if url is not None}
