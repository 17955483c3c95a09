"""How many streams of pages an account has open at once, and their end with the region's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from regiond.ui.serving import stream as page_stream
from regiond.ui.serving.stream import MAX_PER_ACCOUNT
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.support.web_client import WebClient
from tests.support.waiting import eventually, settle


@pytest.fixture
def region(rackless: Deployment) -> Deployment:
    settle(add_administrator_with_password(rackless))
    return rackless


async def logged_in(region: Deployment) -> WebClient:
    client = WebClient(urlsplit(region.region.api_url).port or 0)
    assert (await client.log_in("mira", PASSWORD)).status == 303
    return client


@asynccontextmanager
async def stream(client: WebClient) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """A stream of which the head was read: its status line and headers, and what follows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    writer.write(f"GET /MAAS/ui/stream HTTP/1.1\r\nHost: region\r\nCookie: {cookie}\r\n\r\n".encode())
    try:
        yield (await reader.readuntil(b"\r\n\r\n")).decode(), reader
    finally:
        writer.transport.abort()


async def is_served(client: WebClient) -> bool:
    async with stream(client) as (head, _):
        return head.startswith("HTTP/1.1 200 ")


@pytest.mark.slow
async def test_the_sessions_of_an_account_share_its_streams(region: Deployment) -> None:
    first, second = await logged_in(region), await logged_in(region)
    async with AsyncExitStack() as reading:
        for number in range(MAX_PER_ACCOUNT):
            head, _ = await reading.enter_async_context(stream((first, second)[number % 2]))
            assert head.startswith("HTTP/1.1 200 ")
        for client in (first, second):
            async with stream(client) as (head, refused):
                assert head.startswith("HTTP/1.1 429 ")
                assert "\r\nRetry-After: 30\r\n" in head
                assert b"mira has 20 live pages open at this region" in await refused.readuntil(b"limit")
        assert (await first.get("/MAAS/ui/overview")).status == 200


async def test_those_who_leave_make_room(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_stream, "MAX_PER_ACCOUNT", 1)
    client = await logged_in(region)
    assert (await client.send("HEAD", "/MAAS/ui/stream")).status in {200, 405}
    for _ in range(3):
        await eventually(lambda: is_served(client))


async def test_another_account_has_streams_of_its_own(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_stream, "MAX_PER_ACCOUNT", 1)
    await region.post("users/", username="ann", password=PASSWORD, is_superuser="false")
    ann = WebClient(urlsplit(region.region.api_url).port or 0)
    await ann.log_in("ann", PASSWORD)
    async with stream(await logged_in(region)) as (head, _), stream(ann) as (other, _):
        assert head.startswith("HTTP/1.1 200 ")
        assert other.startswith("HTTP/1.1 200 ")
        assert not await is_served(ann)


async def test_a_region_that_stops_disconnects_whom_it_still_sends_to(
    region: Deployment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    is_collecting = asyncio.Event()

    async def collect_for_ever(_: float) -> None:
        is_collecting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(page_stream, "asyncio", SimpleNamespace(sleep=collect_for_ever))
    async with stream(await logged_in(region)) as (head, rest):
        assert head.startswith("HTTP/1.1 200 ")
        await region.post("tags/", name="rack-7")
        await is_collecting.wait()
        await region.in_process.stop_region()  # the fixture `no_task_left` fails the test if one is left
        with suppress(ConnectionResetError):
            assert b"rack-7" not in await rest.read()
    assert "request_crashed" not in capsys.readouterr().out
