"""What the end of the region does to requests that are being answered."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred

from regiond.api.http.running_requests import RunningRequests
from regiond.api.http.site_request import SiteRequest
from tests.support.clock import in_no_time
from tests.support.waiting import turns


@define
class Channel:
    """Stands for the connection of one request: cutting it cancels what is done for the request, as Klein does."""

    work: Deferred[Any] | None = None
    is_cut: bool = False

    def abort(self) -> None:
        self.is_cut = True
        assert self.work is not None
        asyncio.get_running_loop().call_soon(self.work.cancel)


@define
class Client:
    running: RunningRequests = field(factory=RunningRequests)
    channel: Channel = field(factory=Channel)

    def begin(self, work: Any) -> Deferred[Any]:
        request = cast(SiteRequest, self)  # of which only the connection is asked for
        self.channel.work = self.running.interruptible(work, request)
        return self.channel.work.addErrback(lambda _: None)

    def open(self, work: Any) -> None:
        self.channel.work = self.running.websocket(work, cast(SiteRequest, self))
        self.channel.work.addErrback(lambda _: None)


@pytest.fixture
def client() -> Client:
    return Client()


async def test_a_read_that_ends_soon_is_answered_and_sent(client: Client) -> None:
    known, sent = asyncio.Event(), asyncio.Event()
    client.begin(known.wait()).addCallback(lambda _: client.begin(sent.wait()))
    closing = asyncio.ensure_future(client.running.close())
    await turns()
    known.set()
    await turns()
    assert not closing.done()
    sent.set()
    await closing
    assert not client.channel.is_cut


async def test_a_read_that_takes_long_is_cut(client: Client) -> None:
    client.begin(asyncio.Event().wait())
    await in_no_time(client.running.close())
    assert client.channel.is_cut


async def test_a_reply_that_is_never_read_is_cut(client: Client) -> None:
    known = asyncio.Event()
    client.begin(known.wait()).addCallback(lambda _: client.begin(asyncio.Event().wait()))
    closing = asyncio.ensure_future(client.running.close())
    await turns()
    known.set()
    await turns()
    await in_no_time(closing)
    assert client.channel.is_cut


async def test_a_websocket_is_not_ended_with_the_requests(client: Client) -> None:
    over = asyncio.Event()
    client.open(over.wait())
    await client.running.close()
    assert not client.channel.is_cut
    closing = asyncio.ensure_future(client.running.close_websockets())
    await turns()
    assert not closing.done()
    over.set()
    await closing
    assert not client.channel.is_cut


async def test_a_websocket_whose_client_does_not_answer_is_cut(client: Client) -> None:
    client.open(asyncio.Event().wait())
    await in_no_time(client.running.close_websockets())
    assert client.channel.is_cut
