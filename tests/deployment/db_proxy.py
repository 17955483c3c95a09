"""A proxy in front of the database's Unix socket; it can cut every connection and accept no new one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from attrs import define, field

SOCKET = ".s.PGSQL.5432"


class _End(asyncio.Protocol):
    """One end of a proxied connection: forwards its data, and its end, to the other."""

    def __init__(self, proxy: DbProxy) -> None:
        self.proxy = proxy
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.proxy.ends.add(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.unsent.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.proxy.ends.discard(self)
        if self.other is not None:
            self.other.cut()

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _ClientEnd(_End):
    """The region's end: connects to the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        task = asyncio.ensure_future(self._connect())
        self.proxy.connecting.add(task)
        task.add_done_callback(self.proxy.connecting.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_unix_connection(lambda: _End(self.proxy), str(self.proxy.server_socket))
        except OSError:
            self.cut()
            return
        server.other, self.other = self, server
        for data in self.unsent:
            self.data_received(data)
        if self.transport is None or self.transport.is_closing():
            server.cut()


@define(eq=False)
class DbProxy:
    """`dsn` names the database through the proxy."""

    dsn: str
    server_socket: Path
    folder: Path
    ends: set[_End] = field(factory=set)
    connecting: set[asyncio.Task[None]] = field(factory=set)
    _server: asyncio.Server | None = None

    @classmethod
    def to(cls, dsn: str) -> DbProxy:
        """Accepts no connection until `open`. Raises ValueError for a server that is not on a Unix socket."""
        parts = urlsplit(dsn)
        options = dict(parse_qsl(parts.query))
        if parts.hostname is not None or not options.get("host", "").startswith("/"):
            raise ValueError("the proxy requires a database on a Unix socket, such as the embedded one")
        folder = Path(tempfile.mkdtemp(prefix="innkeeper-db-proxy-"))
        server_socket = Path(options["host"]) / SOCKET
        options["host"] = str(folder)
        query = "&".join(f"{key}={quote(value, safe='/')}" for key, value in options.items())
        user = f"{parts.username}@" if parts.username else ""
        return cls(urlunsplit((parts.scheme, user, parts.path, query, "")), server_socket, folder)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _ClientEnd(self), str(self.folder / SOCKET))

    def shut(self) -> None:
        """Ends every connection at once, with what is in transit, and accepts no new one. Idempotent."""
        if self._server is not None:
            self._server.close()
            self._server = None
            (self.folder / SOCKET).unlink()
        for task in tuple(self.connecting):
            task.cancel()
        for end in tuple(self.ends):
            end.cut()

    async def remove(self) -> None:
        self.shut()
        await asyncio.gather(*self.connecting, return_exceptions=True)
        shutil.rmtree(self.folder, ignore_errors=True)
