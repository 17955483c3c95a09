"""Long lists on a real socket: chunks, backpressure, errors on the way, clients that go away or do not read."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from innkeeper import rpc
from tests.bench.prefilled import prefill
from tests.deployment.deployment import Deployment
from tests.integration.rpc.test_rpc_misuse import address_of, issue
from tests.integration.support.api_over_http import BASE, Client, serve
from tests.support.chunks import dechunked
from tests.support.waiting import eventually, settle
from tests.unit.support.api_double import ApiDouble
from tests.unit.support.long_source import Source

MACHINES = 4000  # 19 MB: more than the buffers of a connection hold


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def client(source: Source) -> Iterator[Client]:
    api = ApiDouble()
    api.answers["machines.long_list"] = source.machines(MACHINES)
    served = serve(api)
    yield served
    settle(served.stop())


@asynccontextmanager
async def connected(
    client: Client, *, method: str = "GET", version: str = "1.1"
) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that has requested all machines and has read the head of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=4096)
    request = client.encode(method, f"{BASE}machines/", body=b"", signed=True, host="region")
    writer.write(request.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
    await reader.readuntil(b"\r\n\r\n")
    try:
        yield reader
    finally:
        writer.transport.abort()


@pytest.mark.slow
async def test_a_long_list_is_sent_in_chunks_without_a_length(client: Client) -> None:
    response = await client.request("GET", f"{BASE}machines/")
    assert (response.status, response.headers.get("content-length")) == (200, None)
    assert response.headers["transfer-encoding"] == "chunked"
    data, rest = dechunked(response.body)
    assert rest == b""
    assert [one["hostname"] for one in json.loads(data)] == [f"vm-{key}" for key in range(MACHINES)]


@pytest.mark.slow
async def test_a_long_list_is_compressed_on_its_way(client: Client) -> None:
    response = await client.request("GET", f"{BASE}machines/", Accept_Encoding="gzip, deflate")
    assert response.headers["content-encoding"] == "gzip"
    assert len(json.loads(zlib.decompress(dechunked(response.body)[0], 31))) == MACHINES


@pytest.mark.slow
async def test_http_1_0_gets_the_list_until_the_connection_ends(client: Client) -> None:
    async with connected(client, version="1.0") as reader:
        assert len(json.loads(await reader.read())) == MACHINES


async def test_head_of_a_long_list_reads_only_its_start(client: Client, source: Source) -> None:
    response = await client.request("HEAD", f"{BASE}machines/")
    assert (response.status, response.body) == (200, b"")
    assert len(source.read_keys) < MACHINES // 10


@pytest.mark.slow
async def test_nothing_is_read_for_a_client_that_does_not_take_it(client: Client, source: Source) -> None:
    async with connected(client) as reader:
        seen = [-1]

        async def stands_still() -> bool:
            seen.append(len(source.read_keys))
            return seen[-1] == seen[-2] > 0

        await eventually(stands_still)
        assert len(source.read_keys) < MACHINES
        # Others are served meanwhile, and the list continues where it stood.
        assert (await client.request("GET", f"{BASE}zones/")).status == 200
        data, rest = dechunked(await reader.read())
        assert (len(json.loads(data)), rest) == (MACHINES, b"")


async def test_the_work_ends_when_the_client_disconnects(client: Client, source: Source) -> None:
    async with connected(client):
        pass

    async def idle() -> bool:
        return not [task for task in asyncio.all_tasks() if "_sent" in repr(task) or "_bound" in repr(task)]

    await eventually(idle)
    assert len(source.read_keys) < MACHINES


async def test_an_error_on_the_way_does_not_look_like_a_complete_list(client: Client, source: Source) -> None:
    source.fails_at = MACHINES // 2
    async with connected(client) as reader:
        received = bytearray()

        async def read_to_the_end() -> None:
            while data := await reader.read(65536):
                received.extend(data)

        with pytest.raises(ConnectionResetError):
            await read_to_the_end()
        data, rest = dechunked(bytes(received))
        assert rest is None
        assert not data.endswith(b"]")


async def test_an_error_before_the_first_chunk_has_its_status(client: Client, source: Source) -> None:
    source.fails_at = 0
    assert (await client.request("GET", f"{BASE}machines/")).status == 503


@pytest.mark.slow
async def test_rpc_and_http_list_every_machine_and_host(rackless: Deployment) -> None:
    """More than a batch, and with owner data, which only HTTP shows."""
    await prefill(rackless.dsn, hosts=60, machines_each=3)
    async with rackless.connection() as db:
        await db.execute("""update machine set owner_data = '{"a": "b"}'""")
    listed = await rackless.get("machines/")
    assert [one["id"] for one in await rackless.get("vm-hosts/")] == list(range(1, 61))
    assert {one["owner_data"]["a"] for one in listed} == {"b"}
    async with rpc.connect(address_of(rackless), folder=await issue(rackless, "robot")) as region:
        assert [one.system_id for one in await region.machines()] == [one["system_id"] for one in listed]
        assert [one.id for one in await region.hosts()] == list(range(1, 61))
    assert len({one["system_id"] for one in listed}) == 180
