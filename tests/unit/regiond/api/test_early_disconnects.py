"""A client that disconnects before the region has begun with its request."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator, Coroutine, Mapping
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.test.requesthelper import DummyChannel

from regiond.api.declaration.endpoint import SiteInfo
from regiond.api.http.klein_adapter import Adapter
from regiond.api.http.site import SiteOptions
from regiond.api.http.site_request import SiteRequest
from regiond.api.pipeline.dispatch import Api
from regiond.api.replies import Reply
from tests.unit.support.api_double import ApiDouble


async def endless() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"chunk"


async def stream(request: SiteRequest, path: Mapping[str, str]) -> Reply:
    return Reply(status=200, chunks=endless())


class Pages:
    def answers(self) -> Any:
        return [("/stream", stream)]

    def serves(self, target: bytes) -> bool:
        return False

    async def refusal(self, request: SiteRequest, *, body_bytes: int | None) -> None:
        """Nothing is refused."""


class RequestWithEarlyEnd(SiteRequest):
    """The client disconnects when the head of the response is sent, before the first chunk, if `answered` is set."""

    answered: Deferred[Any] | None = None

    def setResponseCode(self, *arguments: Any) -> None:  # noqa: N802  # Twisted's name
        SiteRequest.setResponseCode(self, *arguments)
        if self.answered is not None:
            asyncio.get_running_loop().call_soon(self.answered.cancel)


@pytest.fixture
def adapter() -> Adapter:
    services = ApiDouble().services()
    return Adapter(Api(services=services, info=SiteInfo(), now_s=lambda: 0.0), (), Pages())


def request() -> RequestWithEarlyEnd:
    channel: Any = DummyChannel()
    channel.site.options = SiteOptions()
    made = RequestWithEarlyEnd(channel, False)
    made.method = b"GET"
    return made


def begun(adapter: Adapter, name: str, of: SiteRequest) -> Deferred[Any]:
    answered = adapter.app.execute_endpoint(name, of)
    assert isinstance(answered, Deferred)
    return answered


async def ended_by_its_client(answered: Deferred[Any]) -> None:
    with pytest.raises(CancelledError):
        await answered.asFuture(asyncio.get_running_loop())


def not_begun() -> list[Coroutine[Any, Any, Any]]:
    """The coroutines that nobody has awaited; the interpreter warns of each when it is dropped."""
    gc.collect()
    coroutines = [one for one in gc.get_objects() if isinstance(one, CoroutineType)]
    return [one for one in coroutines if getcoroutinestate(one) == CORO_CREATED]


@pytest.mark.parametrize("name", ["live", "page /stream"])
async def test_a_request_that_was_not_begun_leaves_nothing(adapter: Adapter, name: str) -> None:
    before = not_begun()
    answered = begun(adapter, name, request())
    answered.cancel()
    await ended_by_its_client(answered)
    assert not_begun() == before


async def test_a_stream_that_was_not_begun_leaves_nothing(adapter: Adapter) -> None:
    before = not_begun()
    ending = request()
    answered = ending.answered = begun(adapter, "page /stream", ending)
    await ended_by_its_client(answered)
    assert not_begun() == before
