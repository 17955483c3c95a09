"""Bodies that are too long, invalid hosts and paths, and bytes that are no request, on a real socket of the API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from regiond.api.pipeline.request import MAX_BODY_BYTES
from tests.integration.support.api_over_http import BASE, Client, serve
from tests.support.waiting import settle
from tests.unit.support.api_double import ApiDouble


@pytest.fixture
def client() -> Iterator[Client]:
    served = serve(ApiDouble())
    yield served
    settle(served.stop())


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 10 * MAX_BODY_BYTES])
async def test_an_oversized_body_is_refused_with_the_reason(client: Client, size: int) -> None:
    """Also for a client that sends all of it before it reads."""
    response = await client.request("POST", f"{BASE}zones/", body=b"x" * size)
    assert response.status == 413
    assert (
        b"The body is larger than 4194304 bytes, the most that a request can have. To upload an image" in response.body
    )
    assert not client.api.done()


async def test_an_oversized_body_is_refused_before_it_is_sent(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = client.encode("POST", f"{BASE}boot-resources/", body=b"", signed=True, host="r", Expect="100-continue")
    writer.write(head.replace(b"Length: 0", b"Length: 700000000"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_invalid_hosts_and_paths_are_bad_requests(client: Client) -> None:
    assert (await client.request("GET", f"{BASE}version/", host="..")).status == 400
    assert (await client.request("GET", f"{BASE}version/", host="a" * 70)).status == 400
    assert (await client.request("GET", f"{BASE}zones/%ff%fe/")).status == 400
    assert (await client.request("GET", f"{BASE}version/", host="[::1]:5240")).status == 200


@pytest.mark.parametrize("second", [b"b", b"a", b""])
async def test_two_host_headers_are_a_bad_request(client: Client, second: bytes) -> None:
    """A proxy may have checked the one, and the region would use the other."""
    raw = b"GET /MAAS/api/2.0/version/ HTTP/1.1\r\nHost: a\r\nHost: " + second
    assert (await client.send(raw + b"\r\nConnection: close\r\n\r\n")).status == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\xff\r\n",
        b"GET /MAAS/api/2.0/zones/ HTTP/1.0\r\n",
        b"GET /MAAS/api/2.0/zones/?a=%ff&\xff HTTP/1.1\r\nHost: a\r\n",
        b"GET /MAAS/api/2.0/zones/\xff/ HTTP/1.1\r\nHost: a\r\n",
        b"GET /MAAS/api/2.0/zones/%00/ HTTP/1.1\r\nHost: a\r\n",
        b"GET /MAAS//api/2.0/../zones HTTP/1.1\r\nHost: a\r\n",
        b"GET http://a/MAAS/ HTTP/1.1\r\nHost: a\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n",
        b"\xff\xfe /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: \xff\r\nPrefer: \xff\r\n",
        b'POST /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\r\nContent-Type: \xff\r\nAuthorization: OAuth \xff="\xff"\r\n',
        b"GET /MAAS/api/2.0/describe/ HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: \xff\r\n",
        b"POST /MAAS/api/2.0/zones/ HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n",
    ],
)
async def test_no_bytes_break_the_server(client: Client, raw: bytes) -> None:
    response = await client.send(raw + b"Connection: close\r\n\r\n")
    assert response.status < 500
    assert b"Traceback" not in response.body


async def test_names_in_paths_are_decoded_once(client: Client) -> None:
    client.api.answers["groups.zone"] = lambda name: {"a b%20c": client.api.answers["groups.zones"][0]}[name]
    assert (await client.request("GET", f"{BASE}zones/a%20b%2520c/")).status == 200
