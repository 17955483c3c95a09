"""A client that writes bytes to a socket of the API, whose services are doubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOFactory

from common.process.deferreds import from_deferred
from common.process.open_connections import OpenConnections
from regiond.api.http.site import DEFAULT_OPTIONS, SiteOptions, make_site
from regiond.requests.request_limits import RequestLimits
from tests.unit.support.api_double import NOW_S, ApiDouble

BASE = "/MAAS/api/2.0/"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@frozen
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


@frozen
class Client:
    api: ApiDouble
    port: int
    connections: OpenConnections
    stop: Callable[[], Coroutine[Any, Any, None]]

    async def send(self, raw: bytes) -> Response:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
            await writer.wait_closed()
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return Response(int(first.split(" ")[1]), {name.lower(): value for name, _, value in pairs}, body)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        signed: bool = True,
        host: str = "region:5240",
        **headers: str,
    ) -> Response:
        return await self.send(self.encode(method, path, body=body, signed=signed, host=host, **headers))

    def encode(self, method: str, path: str, *, body: bytes, signed: bool, host: str, **headers: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", f"Content-Length: {len(body)}"]
        if signed:
            lines.append(f"Authorization: {self.api.signed()}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def connected(client: Client, data: bytes = b"") -> AsyncIterator[Streams]:
    """A connection on which `data` was sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(data)
    try:
        yield reader, writer
    finally:
        writer.close()


def serve(
    api: ApiDouble,
    options: SiteOptions = DEFAULT_OPTIONS,
    *,
    limits: RequestLimits | None = None,
    tls: IOpenSSLServerConnectionCreator | None = None,
) -> Client:
    site = make_site(api.services(), api.info, options=options, limits=limits, now_s=lambda: NOW_S)
    factory = site if tls is None else TLSMemoryBIOFactory(tls, False, site)
    port: Any = cast(Any, reactor).listenTCP(0, factory, interface="127.0.0.1")

    async def stop() -> None:
        stopped = port.stopListening()
        if stopped is not None:
            await from_deferred(stopped)
        await site.close()

    return Client(api, port.getHost().port, site.connections, stop)


class HeldCall:
    """A service call that answers once the test sets `proceed`."""

    def __init__(self, answer: Any) -> None:
        self.started, self.proceed = asyncio.Event(), asyncio.Event()
        self.ended = ""
        self._answer = answer

    async def __call__(self, *_: Any) -> Any:
        self.started.set()
        try:
            await self.proceed.wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        self.ended = "finished"
        return self._answer
