"""WebSockets of the API whose clients read nothing, or send frames without end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import define, field
from websockets.frames import Frame, Opcode

from regiond.api.http.websocket import BURST_S, FRAMES_PER_S
from regiond.api.replies import Terminal
from tests.integration.support.api_over_http import BASE, Client, serve
from tests.support.clock import in_no_time
from tests.support.waiting import eventually, settle
from tests.unit.support.api_double import ApiDouble

LONG = b"x" * (16 * 1024 * 1024)  # more than the buffers of a connection hold
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@define
class Console:
    """Sends `output`; records what has been done, in its order. Ends with the client, or with its output."""

    output: bytes = b""
    waits_for_input: bool = True
    done: list[str] = field(factory=list)
    finished: asyncio.Event = field(factory=asyncio.Event)

    async def connect(self, terminal: Terminal) -> str:
        sending = asyncio.ensure_future(self._send(terminal))
        try:
            if self.waits_for_input:
                while (data := await terminal.receive()) is not None:
                    self.done.append(data.decode())
                    self.finished.set()
            await sending
        finally:
            sending.cancel()
        return "It has ended."

    async def _send(self, terminal: Terminal) -> None:
        if self.output:
            await terminal.send(self.output)
            self.done.append("sent")


@pytest.fixture
def client() -> Iterator[Client]:
    served = serve(ApiDouble())
    yield served
    settle(served.stop())


@asynccontextmanager
async def opened(client: Client, console: Console) -> AsyncIterator[Streams]:
    """The connection once the region has accepted the WebSocket; what follows has not been read."""

    def connect(_: Any, __: str, terminal: Terminal) -> Any:
        return console.connect(terminal)

    client.api.answers["consoles.connect"] = connect
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1024)
    asked = client.encode("GET", f"{BASE}machines/wdpx3n/?op=console", body=b"", signed=True, host="region")
    upgrade = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    )
    writer.write(asked.replace(b"Connection: close", upgrade))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await eventually(lambda: len(client.connections) == 0)


def frames(opcode: Opcode, data: bytes, number: int = 1) -> bytes:
    return Frame(opcode, data).serialize(mask=True) * number


async def answered(client: Client) -> None:
    """Returns when the region has served what was on its sockets before."""
    for _ in range(3):
        assert (await client.request("GET", "/healthz/live", signed=False)).status == 200


async def test_a_client_that_does_not_read_is_not_read_either(client: Client) -> None:
    console = Console(output=LONG)
    async with opened(client, console) as (reader, writer):
        writer.write(frames(Opcode.BINARY, b"typed"))
        await writer.drain()
        await answered(client)
        assert console.done == []
        reading = asyncio.create_task(reader.read(-1))
        await eventually(lambda: len(console.done) == 2)
        reading.cancel()
    assert console.done == ["sent", "typed"]


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.BINARY])
async def test_frames_are_taken_at_a_bounded_rate(client: Client, opcode: Opcode) -> None:
    console, loop = Console(), asyncio.get_running_loop()
    async with opened(client, console) as (reader, writer):
        reading = asyncio.create_task(reader.read(-1))
        began = loop.time()
        writer.write(frames(opcode, b"", int(FRAMES_PER_S * (BURST_S + 40.0))) + frames(Opcode.BINARY, b"typed"))
        await in_no_time(console.finished.wait())
        reading.cancel()
    assert console.done == ["typed"]
    assert loop.time() - began > 30.0


@pytest.mark.slow
@pytest.mark.parametrize("waits_for_input", [True, False])
async def test_a_client_that_never_reads_is_cut_off(client: Client, waits_for_input: bool) -> None:
    console = Console(output=LONG, waits_for_input=waits_for_input)
    async with opened(client, console) as (_, writer):
        writer.write(frames(Opcode.PING, b"x", 100))
        assert len(client.connections) == 1
        await in_no_time(eventually(lambda: len(client.connections) == 0))
    assert console.done == []
