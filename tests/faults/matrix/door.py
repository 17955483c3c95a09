"""A door before the database's Unix socket: while it is shut, every connection is cut and no new one gets in."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from attrs import define, field

SOCKET = ".s.PGSQL.5432"


class _Half(asyncio.Protocol):
    """One side of a connection; what it hears goes to the other side, and so does its end."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.transport: asyncio.Transport | None = None
        self.other: _Half | None = None
        self.unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.door.halves.add(self)

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self.unsent.append(data)
        else:
            self.other.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.door.halves.discard(self)
        if self.other is not None:
            self.other.cut()

    def cut(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class _Entering(_Half):
    """The region's side: it goes on to the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        task = asyncio.ensure_future(self._go_on())
        self.door.entering.add(task)
        task.add_done_callback(self.door.entering.discard)

    async def _go_on(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, inner = await loop.create_unix_connection(lambda: _Half(self.door), str(self.door.server_socket))
        except OSError:
            self.cut()
            return
        inner.other, self.other = self, inner
        for data in self.unsent:
            self.data_received(data)
        if self.transport is None or self.transport.is_closing():
            inner.cut()


@define(eq=False)
class Door:
    """`dsn` names the database through the door. Made by `before`."""

    dsn: str
    server_socket: Path
    folder: Path
    halves: set[_Half] = field(factory=set)
    entering: set[asyncio.Task[None]] = field(factory=set)
    _server: asyncio.Server | None = None

    @classmethod
    def before(cls, dsn: str) -> Door:
        """Shut, at first. Raises ValueError for a server that is not on a Unix socket."""
        parts = urlsplit(dsn)
        options = dict(parse_qsl(parts.query))
        if parts.hostname is not None or not options.get("host", "").startswith("/"):
            raise ValueError("the matrix needs a database on a Unix socket, such as the embedded one")
        folder = Path(tempfile.mkdtemp(prefix="innkeeper-door-"))
        inner = Path(options["host"]) / SOCKET
        options["host"] = str(folder)
        query = "&".join(f"{key}={quote(value, safe='/')}" for key, value in options.items())
        return cls(urlunsplit(parts._replace(query=query)), inner, folder)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Entering(self), str(self.folder / SOCKET))

    def shut(self) -> None:
        """At once: what was sent and not yet taken is lost."""
        if self._server is not None:
            self._server.close()
            self._server = None
            (self.folder / SOCKET).unlink()
        self.cut()

    def cut(self) -> None:
        """End every connection; new ones get in."""
        for task in tuple(self.entering):
            task.cancel()
        for half in tuple(self.halves):
            half.cut()

    async def remove(self) -> None:
        self.shut()
        await asyncio.gather(*self.entering, return_exceptions=True)
        shutil.rmtree(self.folder)
