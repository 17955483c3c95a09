"""The heartbeat of a page's stream, and the session that is checked while it is open."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from regiond.ui.serving import stream as page_stream
from tests.browser.support.fleet import PASSWORD, add_administrator_with_password
from tests.deployment.deployment import Deployment
from tests.integration.pages.test_page_streams import logged_in, stream
from tests.integration.support.web_client import WebClient
from tests.support.waiting import settle

BEAT = b"event: alive\ndata: {}\n\n"


@pytest.fixture
def region(rackless: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(page_stream, "HEARTBEAT_S", 0.05)
    settle(add_administrator_with_password(rackless))
    return rackless


async def test_a_quiet_stream_beats_without_moving_its_position(region: Deployment) -> None:
    async with stream(await logged_in(region)) as (_, reader):
        sent = await reader.readuntil(BEAT)
        sent += await reader.readuntil(BEAT)
    # That of the first event, and of the login, which the stream may learn of late.
    assert sent.count(b"\nid: ") == 1 + sent.count(b"event: changed\n")


@pytest.mark.slow
async def test_a_stream_beats_while_others_see_changes(region: Deployment) -> None:
    """Such changes are no event for this caller, whose page would take the silence for an outage."""
    await region.post("users/", username="ann", password=PASSWORD, is_superuser="false")
    ann = WebClient(urlsplit(region.region.api_url).port or 0)
    await ann.log_in("ann", PASSWORD)
    async with stream(ann) as (_, reader):

        async def change() -> None:
            for number in range(10_000):
                await region.post("tags/", name=f"unseen-{number}")

        changing = asyncio.ensure_future(change())
        for _ in range(5):
            await reader.readuntil(BEAT)
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)


async def test_a_busy_stream_ends_with_its_session(region: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_stream, "CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(page_stream, "HEARTBEAT_S", 600.0)
    async with stream(await logged_in(region)) as (_, reader):

        async def change() -> None:
            for _ in range(10_000):
                await region.fetch("select notify_changed(array['hosts'], '{}', '{}')")

        await region.fetch("delete from web_session returning id")
        changing = asyncio.ensure_future(change())
        await reader.readuntil(b"\r\n0\r\n\r\n")  # the last chunk; the connection stays
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
