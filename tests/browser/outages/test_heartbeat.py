"""A page whose region hangs, or whose stream is held back, says since when it shows old data."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from regiond.ui.rendering.frame import HEARTBEAT_S
from tests.deployment.runner import REGION

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from tests.deployment.deployment import Deployment

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 12, 7, tzinfo=UTC)
BEAT_MS = int(1000 * HEARTBEAT_S)
NOTICED_MS = 2 * BEAT_MS + 1000


@pytest.fixture
def deployment(tmp_path: Path, server_folder: Path) -> Iterator[Deployment]:
    """A deployment of processes; the test starts them."""
    from tests.deployment.processes import as_processes

    created = as_processes(folder=tmp_path, server_folder=server_folder)
    yield created
    created.processes.kill_all()


@pytest.mark.fault
async def test_a_page_says_since_when_its_region_hangs(chromium: Browser, deployment: Deployment) -> None:
    from tests.browser.support.fleet import add_administrator_with_password
    from tests.browser.support.visitor import visitor

    await deployment.start()
    await add_administrator_with_password(deployment)
    mira = await visitor(chromium, deployment, "mira")
    mira.expects_outages = True
    await mira.enter()
    await mira.page.clock.install(time=NOON)
    await mira.go("overview")
    live = mira.page.locator("#live-state")
    await expect(live).to_have_text("Live")
    region = deployment.processes.running[REGION].pid
    os.kill(region, signal.SIGSTOP)
    try:
        await mira.page.clock.run_for(BEAT_MS)
        await expect(live).to_have_text("Live")  # one is missing
        await mira.page.clock.run_for(NOTICED_MS)
        await expect(live).to_have_text("Not live since 12:00")
        await mira.page.clock.fast_forward("05:00")
        await expect(live).to_have_text("Not live since 12:00")
    finally:
        os.kill(region, signal.SIGCONT)
    await expect(live).to_have_text("Live")
    await mira.leave()


@asynccontextmanager
async def held_back(region_port: int, port: int) -> AsyncIterator[None]:
    """A proxy that passes everything but what the region streams."""
    writers: list[asyncio.StreamWriter] = []

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        is_stream = False
        while data := await reader.read(65536):
            is_stream = is_stream or (is_answer and b"text/event-stream" in data)
            if not is_stream:
                writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", region_port)
        writers.extend((writer, back))
        await asyncio.gather(
            copy(reader, back, is_answer=False), copy(there, writer, is_answer=True), return_exceptions=True
        )

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def test_a_page_without_a_stream_reads_itself_again(chromium: Browser, fleet: Deployment) -> None:
    from tests.browser.support.visitor import visitor
    from tests.support.ports import free_port

    port = free_port()
    mira = await visitor(chromium, fleet, "mira", port=port)
    mira.expects_outages = True
    async with held_back(urlsplit(fleet.api.url).port or 0, port):
        await mira.enter()
        await mira.page.clock.install(time=NOON)
        await mira.go("vms")
        live = mira.page.locator("#live-state")
        await mira.page.clock.run_for(3000)
        await expect(live).to_have_text("Connecting")
        await fleet.compose(fleet.hosts["birch"], hostname="late-1", memory=1024)
        await mira.page.clock.run_for(NOTICED_MS)
        await expect(live).to_contain_text("Not live since")
        await mira.page.clock.run_for(2000)
        await expect(mira.page.locator("#vms")).to_contain_text("late-1")
        await mira.leave()
    assert mira.complaints == []
