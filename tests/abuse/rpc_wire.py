"""RPC frames on plain TLS sockets, so that an attacker can send what no link sends."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgpack
from attrs import define

from common.rpc.frames import Call, Done, Error, Event, Frame, Hello, decode, encode
from common.trust.certificates import Credentials, Role
from tests.abuse.attack import Tally
from tests.abuse.http_wire import CONNECT_S

ANSWER_S = 15.0
TlsOf = Callable[[], ssl.SSLContext]


def tls(credentials: Credentials | None) -> ssl.SSLContext:
    """The TLS of a peer with this certificate, or of an anonymous one. It accepts any region."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if credentials is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pair.pem"
            path.write_text(credentials.certificate_pem + credentials.key_pem)
            context.load_cert_chain(path)
    return context


def raw_call(method: str, body: bytes, *, call_id: int = 1) -> bytes:
    """A call frame with a body that is msgpack already."""
    head = {"kind": "call", "id": call_id, "method": method, "left_ms": 10_000, "credit": 0}
    packed: bytes = msgpack.packb(head)
    with_body = bytes((packed[0] + 1,)) + packed[1:]  # a small map's first byte holds its size
    name: bytes = msgpack.packb("body")
    return with_body + name + body


def empty_maps(number: int) -> bytes:
    """So many empty maps in one list: a byte each here, 64 bytes each once decoded."""
    return b"\xdd" + number.to_bytes(4, "big") + b"\x80" * number


@define
class Wire:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def hello(self, role: Role, name: str) -> None:
        self.send(encode(Hello(lowest_version=1, highest_version=1, role=role, name=name)))

    def send(self, frame: bytes) -> None:
        self.writer.write(len(frame).to_bytes(4, "big") + frame)

    async def receive(self) -> Frame:
        """Raises EOFError when the region has ended the connection, TimeoutError if nothing arrives."""
        async with asyncio.timeout(ANSWER_S):
            length = int.from_bytes(await self.reader.readexactly(4), "big")
            return decode(await self.reader.readexactly(length))

    async def count_answers(self, tally: Tally, *, number: int) -> None:
        """Counts so many answers, or fewer if the connection ends. What is no error has been admitted."""
        while number > 0:
            frame = await self.receive()
            if isinstance(frame, Error):
                tally.count(f"rpc {frame.code}")
                number -= 1
            elif isinstance(frame, Done):
                tally.admit(f"an answer to call {frame.id}")
                number -= 1
            elif isinstance(frame, Call):
                tally.admit(f"the call {frame.method} from the region")
            elif isinstance(frame, Event) and frame.name != "region.addresses":
                tally.admit(f"the event {frame.name}")


@asynccontextmanager
async def wired(port: int, context: ssl.SSLContext | None, address: str) -> AsyncIterator[Wire]:
    """A connection, with TLS unless `context` is None; cut at the end. Raises OSError, TimeoutError."""
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, local_addr=(address, 0))
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
