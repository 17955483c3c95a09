"""A TCP proxy between racks and region that can cut connections and hold back one direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define, field

from tests.support.ports import free_port


@define(kw_only=True, eq=False)
class LinkProxy:
    """Racks connect to `port`; each connection is forwarded to the region's port, while the region listens there."""

    region_port: int
    port: int = field(factory=free_port)
    _connections: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = field(factory=set, init=False)
    _from_racks: asyncio.Event = field(factory=asyncio.Event, init=False)
    _from_region: asyncio.Event = field(factory=asyncio.Event, init=False)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[LinkProxy]:
        self.release()
        server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def hold_racks(self) -> None:
        """Holds back what racks send; the connections stay open."""
        self._from_racks.clear()

    def hold_region(self) -> None:
        """Holds back what the region sends; the connections stay open."""
        self._from_region.clear()

    def cut(self) -> None:
        """Ends every connection; data that was held back is lost. New connections are forwarded."""
        for ends in tuple(self._connections):
            for end in ends:
                end.transport.abort()
        self._connections.clear()
        self.release()

    def release(self) -> None:
        self._from_racks.set()
        self._from_region.set()

    async def _forward(self, from_rack: asyncio.StreamReader, to_rack: asyncio.StreamWriter) -> None:
        try:
            from_region, to_region = await asyncio.open_connection("127.0.0.1", self.region_port)
        except OSError:  # the region was killed
            to_rack.transport.abort()
            return
        connection = (to_rack, to_region)
        self._connections.add(connection)
        await asyncio.gather(
            self._pipe(from_rack, connection, to_region, self._from_racks),
            self._pipe(from_region, connection, to_rack, self._from_region),
        )

    async def _pipe(
        self,
        source: asyncio.StreamReader,
        connection: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        target: asyncio.StreamWriter,
        may_pass: asyncio.Event,
    ) -> None:
        """Forwards one direction until either end closes; then closes both directions."""
        try:
            while data := await source.read(65536):
                await may_pass.wait()
                if connection not in self._connections:
                    return  # cut while the data was held back
                target.write(data)
                await target.drain()
        except OSError:
            pass  # one end is gone, which ends the connection
        finally:
            self._connections.discard(connection)
            for end in connection:
                end.transport.abort()
