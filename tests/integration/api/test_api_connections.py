"""Limits of HTTP connections that hold before a login: time, number, and the length of a body."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from attrs import evolve

from common.process.open_connections import ConnectionLimits, OpenConnections
from regiond.api.description.describe import description_hash
from regiond.api.http import channel
from regiond.api.http.channel import LimitedChannel
from regiond.api.http.klein_adapter import REFUSAL_DELAY_S
from regiond.api.http.site import HEALTH_CONNECTIONS, SiteOptions
from regiond.api.pipeline.authentication import ANONYMOUS_BODY_BYTES
from regiond.api.pipeline.request import MAX_BODY_BYTES
from regiond.api.resources.registry import SERVED
from regiond.requests.request_limits import BURST_S, LONG_BODY_BYTES_PER_S, RequestLimits
from tests.integration.support.api_over_http import BASE, Client, HeldCall, connected, serve
from tests.support.waiting import eventually, settle
from tests.unit.answers.accounts import ADMIN_KEY, SIGNING_KEY
from tests.unit.support.api_double import ApiDouble

PATH = f"{BASE}vm-hosts/4/?op=refresh"
WRONG_KEY = evolve(ADMIN_KEY, token_secret="wrong")  # noqa: S106
LONG = b"x=" + b"a" * (2 * ANONYMOUS_BODY_BYTES)


@pytest.fixture
def client() -> Iterator[Client]:
    options = SiteOptions(connections=ConnectionLimits(total=3))
    served = serve(ApiDouble(), options, limits=RequestLimits(clock=lambda: 0.0))
    yield served
    settle(served.stop())


def is_of_the_region(answer: bytes) -> bool:
    """Whether a client can tell that it is no answer of a proxy in front of the region."""
    return f"\r\nX-MAAS-API-Hash: {description_hash(SERVED)}\r\n".encode() in answer


async def test_headers_have_a_deadline_however_slowly_they_arrive(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "HEADERS_S", 0.3)
    async with connected(client, b"GET / HTTP/1.1\r\n") as (reader, writer):
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            writer.write(b"X: y\r\n")
            await asyncio.wait([ended], timeout=0.05)
        assert await ended == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [(b"GET /%s HTTP/1.1\r\n", b"414"), (b"GET / HTTP/1.1\r\nCookie: %s\r\n", b"431"), (b"%s", b"414")],
    ids=["path", "header", "no line"],
)
async def test_a_line_that_is_too_long_is_answered(client: Client, head: bytes, status: bytes) -> None:
    async with connected(client, head % (b"a" * 70_000)) as (reader, _):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"longer than 65536 bytes" in answer


async def test_a_body_has_a_deadline_however_slowly_it_arrives(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "BODY_S", 0.3)
    head = client.encode("POST", PATH, body=b"", signed=True, host="r").replace(b"Length: 0", b"Length: 4000")
    async with connected(client, head) as (reader, writer):
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            writer.write(b"a")
            await asyncio.wait([ended], timeout=0.05)
        assert await ended == b""


async def test_a_long_body_is_read_only_after_a_login(client: Client) -> None:
    assert (await client.request("POST", PATH, body=LONG)).status == 200
    head = client.encode("POST", PATH, body=b"", signed=False, host="r")
    async with connected(client, head.replace(b"Length: 0", b"Length: 4000000")) as (reader, _):
        answer = await reader.read()  # although not one byte of the body was sent
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"Sign a request with a body of more than 16384 bytes in its headers." in answer


async def test_a_long_body_of_a_stranger_is_refused_late(client: Client) -> None:
    head = client.encode("POST", PATH, body=b"", signed=False, host="r")
    before = time.monotonic()
    async with connected(client, head.replace(b"Length: 0", b"Length: 4000000")) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - before >= REFUSAL_DELAY_S


async def test_a_wrong_key_is_refused_before_a_long_body(client: Client) -> None:
    head = client.encode("POST", PATH, body=b"", signed=False, host="r", Authorization=client.api.signed(WRONG_KEY))
    async with connected(client, head.replace(b"Length: 0", b"Length: 4000000")) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 401 ")


async def test_a_login_that_takes_too_long_is_answered_by_the_region(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "ADMIT_S", REFUSAL_DELAY_S / 10)
    head = client.encode("POST", PATH, body=b"", signed=False, host="r")
    async with connected(client, head.replace(b"Length: 0", b"Length: 4000000")) as (reader, _):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert is_of_the_region(answer)


async def test_a_short_body_may_be_signed_inside(client: Client) -> None:
    assert (await client.request("POST", PATH, body=b"x=1", signed=False)).status == 401


async def test_a_client_that_awaits_100_is_told_after_its_login(client: Client) -> None:
    head = client.encode("POST", PATH, body=b"", signed=True, host="r", Expect="100-continue")
    async with connected(client, head.replace(b"Length: 0", b"Length: %d" % len(LONG))) as (reader, writer):
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(LONG)
        assert b"HTTP/1.1 200 " in await reader.read()


async def test_too_many_long_bodies_of_an_account_are_refused_unread(client: Client) -> None:
    head = client.encode("POST", PATH, body=b"", signed=True, host="r", Expect="100-continue")
    data = head.replace(b"Length: 0", b"Length: %d" % MAX_BODY_BYTES)
    for _ in range(int(BURST_S * LONG_BODY_BYTES_PER_S / MAX_BODY_BYTES)):
        async with connected(client, data) as (reader, _):
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    async with connected(client, data) as (reader, _):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    assert b"Retry-After: 1\r\n" in answer


async def test_bodies_that_only_name_a_key_do_not_count_for_its_account(client: Client) -> None:
    head = client.encode("POST", PATH, body=b"", signed=True, host="r", Expect="100-continue")
    data = head.replace(b"Length: 0", b"Length: %d" % MAX_BODY_BYTES)
    unproven = data.replace(b"PLAINTEXT", b"HMAC-SHA1")
    for seen, named in (
        (ADMIN_KEY.consumer_key, SIGNING_KEY.consumer_key),
        (ADMIN_KEY.token_key, SIGNING_KEY.token_key),
    ):
        assert seen.encode() in unproven
        unproven = unproven.replace(seen.encode(), named.encode())
    for _ in range(int(BURST_S * LONG_BODY_BYTES_PER_S / MAX_BODY_BYTES)):
        async with connected(client, unproven) as (reader, _):
            assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    async with connected(client, unproven) as (reader, _):
        assert (await reader.read()).startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
    async with connected(client, data) as (reader, _):
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"


async def test_an_idle_connection_ends_when_there_are_too_many(client: Client) -> None:
    async with connected(client) as (oldest, _), connected(client), connected(client):
        await eventually(lambda: len(client.connections) == 3)
        assert (await client.request("GET", f"{BASE}version/", signed=False)).status == 200
        assert await oldest.read() == b""


@asynccontextmanager
async def all_busy(client: Client) -> AsyncIterator[None]:
    """A request that waits on each connection that the region serves."""
    client.api.answers["groups.zones"] = HeldCall(())
    async with AsyncExitStack() as held:
        for _ in range(3):
            read = client.encode("GET", f"{BASE}zones/", body=b"", signed=True, host="r")
            await held.enter_async_context(connected(client, read))
        await eventually(lambda: len(client.api.done()) == 3)
        yield


async def test_one_connection_too_many_is_refused_by_the_region(client: Client) -> None:
    read = client.encode("GET", f"{BASE}zones/", body=b"", signed=True, host="r")
    async with all_busy(client):
        for data in (read, client.encode("POST", PATH, body=LONG, signed=True, host="r")):
            async with connected(client, data) as (reader, _):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert answer.count(b"HTTP/1.1 ") == 1
            assert is_of_the_region(answer)


async def test_health_is_answered_when_all_connections_are_taken(client: Client) -> None:
    async with all_busy(client):
        for path, body in (("live", b"live"), ("ready", b"ready")):
            for data in (
                f"GET /healthz/{path} HTTP/1.1\r\nHost: r\r\n\r\n",
                f"GET //healthz//{path}?x HTTP/1.0\r\n\r\n",
            ):
                async with connected(client, data.encode()) as (reader, _):
                    answer = await reader.read()
                assert answer.partition(b"\r\n")[0].endswith(b" 200 OK")
                assert answer.endswith(b"\r\n\r\n" + body)


async def test_a_health_check_with_a_body_gets_no_reserved_connection(client: Client) -> None:
    async with all_busy(client):
        for length in (b"Content-Length: 4000000", b"Transfer-Encoding: chunked"):
            head = b"POST /healthz/live HTTP/1.1\r\nHost: r\r\n" + length + b"\r\n\r\n"
            async with connected(client, head) as (reader, _):
                async with asyncio.timeout(channel.HEALTH_S / 2):
                    assert (await reader.readline()).startswith(b"HTTP/1.1 503 ")


async def test_idle_connections_take_no_place_of_health_checks(client: Client) -> None:
    async with all_busy(client), AsyncExitStack() as idle:
        opened = [await idle.enter_async_context(connected(client)) for _ in range(2 * HEALTH_CONNECTIONS)]
        assert (await client.request("GET", "/healthz/live", signed=False)).status == 200
        assert await opened[0][0].read() == b""


async def test_a_reserved_connection_ends_soon(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "HEALTH_S", 0.3)
    async with all_busy(client), connected(client, b"GET /healthz/live HTTP/1.1\r\n") as (reader, writer):
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            writer.write(b"X: y\r\n")
            await asyncio.wait([ended], timeout=0.05)
        assert (await ended).startswith(b"HTTP/1.1 503 ")


def answer_in_mib(client: Client, size_mib: int) -> None:
    """The answer with one zone has so many MiB from now on, which the region does not send in parts."""
    (zone,) = client.api.answers["groups.zones"]
    client.api.answers["groups.zone"] = evolve(zone, description="x" * size_mib * 1024**2)


def zones_read(client: Client) -> int:
    return sum(one.name == "groups.zone" for one in client.api.calls)


@asynccontextmanager
async def reading_nothing(client: Client, data: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """A connection with small buffers on which this was sent; it reads once it is asked to."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", client.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
    writer.write(data)
    try:
        yield reader
    finally:
        writer.transport.abort()


def zone(client: Client) -> bytes:
    return client.encode("GET", f"{BASE}zones/default/", body=b"", signed=True, host="r")


async def test_a_last_answer_that_nobody_reads_takes_no_place(client: Client) -> None:
    answer_in_mib(client, 8)
    async with AsyncExitStack() as unread:
        for _ in range(3):
            await unread.enter_async_context(reading_nothing(client, zone(client)))
        await eventually(lambda: zones_read(client) == 3)
        await eventually(lambda: is_answered(client))


async def is_answered(client: Client) -> bool:
    return (await client.request("GET", f"{BASE}zones/")).status == 200


async def test_an_answer_that_nobody_reads_ends(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "UNREAD_S", 0.1)
    monkeypatch.setattr(LimitedChannel, "abortTimeout", 0.1)
    answer_in_mib(client, 8)
    async with reading_nothing(client, zone(client)):
        await eventually(lambda: zones_read(client) == 1)
        await eventually(lambda: len(client.connections) == 0)


@pytest.mark.slow
async def test_no_request_is_answered_before_the_client_reads(client: Client) -> None:
    answer_in_mib(client, 1)
    many = 20
    requests = (zone(client).replace(b"Connection: close\r\n", b"") for _ in range(many - 1))
    async with reading_nothing(client, b"".join(requests) + zone(client)) as reader:
        await eventually(lambda: zones_read(client) > 1)
        for _ in range(2 * many):
            assert (await client.request("GET", f"{BASE}version/", signed=False)).status == 200
        assert zones_read(client) < many / 2
        assert (await reader.read()).count(b"HTTP/1.1 200 ") == many


class _Busy(LimitedChannel):
    is_idle = False


def busy() -> LimitedChannel:
    return _Busy(lambda *_: asyncio.sleep(0), lambda _: None, {})


def test_no_connection_with_a_request_is_ended_for_another() -> None:
    connections = OpenConnections(ConnectionLimits(total=2))
    for _ in range(2):
        assert connections.has_room("192.0.2.1")
        connections.add(busy(), "192.0.2.1")
    assert not connections.has_room("192.0.2.9")


def test_one_address_cannot_take_all_connections() -> None:
    connections = OpenConnections(ConnectionLimits(total=10, per_address=2))
    held = [busy(), busy()]
    for one in held:
        connections.add(one, "192.0.2.1")
    assert not connections.has_room("192.0.2.1")
    assert connections.has_room("192.0.2.2")
    connections.remove(held[0])
    connections.remove(held[0])
    assert connections.has_room("192.0.2.1")
    assert len(connections) == 1


def test_local_proxies_leave_room_for_direct_connections() -> None:
    connections = OpenConnections(ConnectionLimits(total=20, per_address=2))
    for number in range(18):
        assert connections.has_room(f"127.0.0.{number}")
        connections.add(busy(), f"127.0.0.{number}")
    assert not connections.has_room("127.0.0.99")
    assert connections.has_room("192.0.2.1")


def test_an_address_waits_for_its_own_refusals() -> None:
    connections = OpenConnections(ConnectionLimits(total=10, per_address=1))
    refused = busy()
    refused.is_refused = True
    connections.add(refused, "192.0.2.1")
    assert not connections.has_room("192.0.2.1")


def test_connections_of_a_local_proxy_are_not_counted_by_address() -> None:
    connections = OpenConnections(ConnectionLimits(total=10, per_address=1))
    for _ in range(3):
        assert connections.has_room("127.0.0.1")
        connections.add(busy(), "127.0.0.1")
