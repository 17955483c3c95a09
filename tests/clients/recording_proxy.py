"""Forwards connections to a region unchanged, and records which endpoints the requests name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qsl, urlsplit

from attrs import define, field

from regiond.api.declaration.endpoint import Resource
from regiond.api.resources.registry import SERVED
from tests.support.chunks import dechunked


def _pattern(resource: Resource) -> re.Pattern[str]:
    wild = ".+" if resource.takes_slashes else "[^/]+"
    return re.compile(re.sub(r"\\{[a-z_]+\\}", wild, re.escape(resource.full_path)))


_PATTERNS = [(_pattern(resource), resource) for resource in SERVED]


def name_of_call(method: str, target: str, body: bytes = b"") -> str:
    """Returns such as `POST machines/{system_id}/?op=deploy`; a path that nothing serves is returned as it is."""
    parts = urlsplit(target)
    path = re.sub("/{2,}", "/", parts.path)
    fields = dict(parse_qsl(parts.query)) or dict(parse_qsl(body.decode("ascii", "replace")))
    path, _, suffix = path.partition("op-")
    op = dict(parse_qsl(parts.query)).get("op") or suffix.strip("/") or fields.get("op")
    found = next((resource.path for pattern, resource in _PATTERNS if pattern.fullmatch(path)), path)
    return f"{method} {found}" + (f"?op={op.replace('-', '_')}" if op else "")  # as gomaasclient's `is-importing`


@define
class RequestReader:
    """Reads the requests of one connection; `calls` are their names."""

    calls: list[str]
    _buffer: bytearray = field(factory=bytearray)

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._one():
            pass

    def _one(self) -> bool:
        head, separator, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not separator:
            return False
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body, after = _split(headers, rest)
        if after is None:
            return False
        method, target, _ = first.split(" ")
        is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        self.calls.append(name_of_call(method, target, body if is_form else b""))
        self._buffer[:] = after
        return True


def _split(headers: Mapping[str, str], rest: bytes) -> tuple[bytes, bytes | None]:
    """The body of a request, and what follows it: None if its end has not come.

    On a busy computer Go sends an empty body in chunks: it does not wait longer than 0.2 s for the end of the body.
    """
    if "transfer-encoding" in headers:
        return dechunked(rest)
    length = int(headers.get("content-length", 0))
    return rest[:length], rest[length:] if len(rest) >= length else None


@define
class RecordingProxy:
    """`url` is that of `/MAAS` through the proxy."""

    url: str
    calls: list[str] = field(factory=list)


@asynccontextmanager
async def recording(api_url: str) -> AsyncIterator[RecordingProxy]:
    """Serves the region of that API until the end."""
    host, port = urlsplit(api_url).hostname, urlsplit(api_url).port
    proxy = RecordingProxy("")
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection(host, port)
        requests = RequestReader(proxy.calls)
        try:
            await asyncio.gather(_forward(reader, upstream, requests), _forward(upstream_reader, writer, None))
        finally:
            upstream.close()
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        connections.add(task)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/MAAS"
    try:
        yield proxy
    finally:
        server.close()
        for task in connections:
            task.cancel()
        ended = await asyncio.gather(*connections, return_exceptions=True)
        await server.wait_closed()
        for error in ended:
            if isinstance(error, Exception) and not isinstance(error, OSError):
                raise error  # its client saw only that the connection ended


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter, requests: RequestReader | None) -> None:
    with suppress(ConnectionError):
        while data := await source.read(65536):
            if requests is not None:
                requests.feed(data)
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
