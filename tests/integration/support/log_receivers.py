"""Servers that receive the audit trail: syslog over TCP, TLS, UDP and a Unix socket, and HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

Files = tuple[Path, Path]


@define
class Received:
    """What has arrived. `statuses` are those of the next HTTP answers."""

    url: str = ""
    entries: list[dict[str, Any]] = field(factory=list)
    batches: list[int] = field(factory=list)
    headers: list[str] = field(factory=list)
    statuses: list[int] = field(factory=list)
    most_entries: int = 1000
    silent: bool = False
    cuts: int = 0  # of the next connections, each after its first message
    ca: Path | None = None  # the certificate of the server

    @property
    def ids(self) -> list[int]:
        return [entry["id"] for entry in self.entries]

    def add(self, message: bytes) -> None:
        header, json_text = message.decode().split(" - audit - ", 1)
        assert header.startswith("<109>1 ")
        self.entries.append(json.loads(json_text))


def _tls(files: Files | None) -> ssl.SSLContext | None:
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]], tls: ssl.SSLContext | None
) -> AsyncIterator[str]:
    """Yields host and port. The certificate is that of `localhost`."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'localhost' if tls else '127.0.0.1'}:{port}"
    finally:
        server.close()


@asynccontextmanager
async def syslog_stream(files: Files | None = None) -> AsyncIterator[Received]:
    """With TLS, if there are `files`: certificate and key."""
    found, tls = Received(ca=files and files[0]), _tls(files)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while length := (await reader.readuntil(b" ") if not reader.at_eof() else b""):
            found.add(await reader.readexactly(int(length)))
            if found.cuts and len(found.entries) % 2:
                found.cuts -= 1
                writer.transport.abort()
                return

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with _listening(guarded, tls) as place:
        found.url = f"syslog+{'tls' if tls else 'tcp'}://{place}"
        yield found


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, found: Received) -> None:
        self._found = found

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._found.add(data)


@asynccontextmanager
async def syslog_datagrams(path: Path | None = None) -> AsyncIterator[Received]:
    """On a Unix socket at `path`, or on UDP."""
    found = Received()
    if path is None:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("127.0.0.1", 0))
        found.url = f"syslog+udp://127.0.0.1:{receiver.getsockname()[1]}"
    else:
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(str(path))
        found.url = f"syslog+unix://{path}"
    receiver.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Datagrams(found), sock=receiver)
    try:
        yield found
    finally:
        transport.close()


@asynccontextmanager
async def web_server(files: Files | None = None) -> AsyncIterator[Received]:
    """Stores the lines of each request that it answers with 200; answers 413 to more than `most_entries`."""
    found, tls = Received(ca=files and files[0]), _tls(files)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [length] = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length:")]
        lines = (await reader.readexactly(int(length))).splitlines()
        found.headers.append(head)
        found.batches.append(len(lines))
        if found.silent:
            await reader.read()
            return
        status = found.statuses.pop(0) if found.statuses else 200
        status = 413 if len(lines) > found.most_entries else status
        if status == 200:
            found.entries.extend(json.loads(line) for line in lines)
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with _listening(serve, tls) as place:
        found.url = f"{'https' if tls else 'http'}://{place}/in"
        yield found
