"""Bodies in chunks, whose length no header tells, on a real socket of the API."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import oauthlib.oauth1
import pytest

from regiond.api.http.channel import LimitedChannel
from regiond.api.pipeline.authentication import ANONYMOUS_BODY_BYTES
from regiond.api.pipeline.request import MAX_BODY_BYTES
from regiond.requests.request_limits import BURST_S, LONG_BODY_BYTES_PER_S, RequestLimits
from tests.integration.support.api_over_http import BASE, Client, connected, serve
from tests.support.waiting import eventually, settle
from tests.unit.answers.accounts import SIGNING_KEY
from tests.unit.support.api_double import NOW_S, ApiDouble

REFRESH = f"{BASE}vm-hosts/4/?op=refresh"
LONG = b"x=" + b"a" * (2 * ANONYMOUS_BODY_BYTES)
LAST_CHUNK = b"0\r\n\r\n"


@pytest.fixture
def client() -> Iterator[Client]:
    served = serve(ApiDouble(), limits=RequestLimits(clock=lambda: 0.0))
    yield served
    settle(served.stop())


@pytest.fixture
def heads_read(monkeypatch: pytest.MonkeyPatch) -> list[LimitedChannel]:
    """The connection of each request whose headers the region has read, which may be before its body arrives."""
    channels: list[LimitedChannel] = []
    read: Any = LimitedChannel.allHeadersReceived

    def observe(channel: Any) -> None:
        read(channel)
        channels.append(channel)

    monkeypatch.setattr(LimitedChannel, "allHeadersReceived", observe)
    return channels


def head(client: Client, method: str, path: str, *, is_signed: bool, **headers: str) -> bytes:
    encoded = client.encode(method, path, body=b"", signed=is_signed, host="r", **headers)
    return encoded.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


READS = pytest.mark.parametrize(("path", "is_signed"), [("zones/", True), ("version/", False)], ids=["signed", "open"])


@READS
async def test_a_read_whose_empty_body_is_chunked_is_answered(client: Client, path: str, is_signed: bool) -> None:
    """Go sends it so on a busy computer, where it could not read the end of the body within 0.2 s."""
    async with connected(client, head(client, "GET", BASE + path, is_signed=is_signed) + LAST_CHUNK) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


@READS
async def test_the_empty_body_of_a_read_may_come_later(
    client: Client, heads_read: list[LimitedChannel], path: str, is_signed: bool
) -> None:
    async with connected(client, head(client, "GET", BASE + path, is_signed=is_signed)) as (reader, writer):
        await eventually(lambda: len(heads_read) == 1)
        writer.write(LAST_CHUNK)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")


async def test_a_long_chunked_body_of_a_stranger_is_refused_before_its_end(client: Client) -> None:
    sent = head(client, "POST", REFRESH, is_signed=False) + chunk(LONG)
    async with connected(client, sent) as (reader, _):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Sign a request with a body of more than 16384 bytes in its headers." in answer


async def test_a_chunked_body_is_refused_beyond_the_limit(client: Client) -> None:
    body = chunk(b"x" * 2**20) * (10 * MAX_BODY_BYTES // 2**20) + LAST_CHUNK
    response = await client.send(head(client, "POST", f"{BASE}zones/", is_signed=True) + body)
    assert response.status == 413
    assert not client.api.done()


@pytest.fixture
def counted_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What was counted for an address, in bytes, for each body that was not proven yet."""
    counted: list[int] = []
    take: Any = RequestLimits.take_unproven_body

    def observe(limits: Any, address: str, length: int) -> None:
        take(limits, address, length)
        counted.append(length)

    monkeypatch.setattr(RequestLimits, "take_unproven_body", observe)
    return counted


def has_length(values: list[int], length: int) -> bool:
    return len(values) == length


async def test_proven_chunked_bodies_do_not_count_for_their_address(client: Client, counted_bytes: list[int]) -> None:
    for number in range(1, 1 + 2 * int(BURST_S * LONG_BODY_BYTES_PER_S / MAX_BODY_BYTES)):
        async with connected(client, form_head(client, LONG)) as (reader, writer):
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
            writer.write(chunk(LONG[:1]) + chunk(LONG[1:-1]))
            await eventually(partial(has_length, counted_bytes, number))
            writer.write(chunk(LONG[-1:]) + LAST_CHUNK)
            assert b"HTTP/1.1 200 " in await reader.read()
    assert set(counted_bytes) == {MAX_BODY_BYTES}


async def test_short_chunked_bodies_are_not_counted(client: Client, counted_bytes: list[int]) -> None:
    async with connected(client, form_head(client, b"x=1")) as (reader, writer):
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(chunk(b"x=1") + LAST_CHUNK)
        assert b"HTTP/1.1 200 " in await reader.read()
    assert counted_bytes == []


async def test_a_request_after_a_long_one_is_told_to_go_on(client: Client) -> None:
    """Also if all of the long one came at once, so that its admission was not awaited."""
    long = head(client, "POST", REFRESH, is_signed=True).replace(b"Connection: close\r\n", b"")
    async with connected(client, long + chunk(LONG) + LAST_CHUNK) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head(client, "POST", REFRESH, is_signed=True, Expect="100-continue"))
        await reader.readuntil(b"HTTP/1.1 100 Continue\r\n")
        writer.write(LAST_CHUNK)
        assert b"HTTP/1.1 200 " in await reader.read()


def form_head(client: Client, body: bytes) -> bytes:
    """Returns the head of a request with this form, signed with HMAC-SHA1."""
    signer = oauthlib.oauth1.Client(
        SIGNING_KEY.consumer_key, client_secret="", resource_owner_key=SIGNING_KEY.token_key,
        resource_owner_secret=SIGNING_KEY.token_secret, timestamp=str(int(NOW_S)),
    )  # fmt: skip
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    headers: dict[str, str] = signer.sign(f"http://r{REFRESH}", "POST", body.decode(), form)[1]
    return head(client, "POST", REFRESH, is_signed=False, Expect="100-continue", **headers)
