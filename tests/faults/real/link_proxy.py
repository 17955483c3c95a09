"""A cable between racks and region that can be cut, and that can keep back what a side says while the other acts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from attrs import define, field

from tests.ports import free_port


@define(kw_only=True, eq=False)
class LinkProxy:
    """Racks dial `port`; each connection is carried on to the region's port, while one listens there."""

    region_port: int
    port: int = field(factory=free_port)
    _cables: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = field(factory=set, init=False)
    _from_racks: asyncio.Event = field(factory=asyncio.Event, init=False)
    _from_region: asyncio.Event = field(factory=asyncio.Event, init=False)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[LinkProxy]:
        self.release()
        server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()
            self.cut()
            await server.wait_closed()

    def hold_racks(self) -> None:
        """From now on the region hears nothing of what racks say; they do not notice."""
        self._from_racks.clear()

    def hold_region(self) -> None:
        """From now on racks hear nothing of what the region says; it does not notice."""
        self._from_region.clear()

    def cut(self) -> None:
        """Every connection ends, and what was kept back is lost. New ones are carried again."""
        for ends in tuple(self._cables):
            for end in ends:
                end.transport.abort()
        self._cables.clear()
        self.release()

    def release(self) -> None:
        self._from_racks.set()
        self._from_region.set()

    async def _carry(self, from_rack: asyncio.StreamReader, to_rack: asyncio.StreamWriter) -> None:
        try:
            from_region, to_region = await asyncio.open_connection("127.0.0.1", self.region_port)
        except OSError:  # the region is dead: so is the cable
            to_rack.transport.abort()
            return
        cable = (to_rack, to_region)
        self._cables.add(cable)
        await asyncio.gather(
            self._pipe(from_rack, cable, to_region, self._from_racks),
            self._pipe(from_region, cable, to_rack, self._from_region),
        )

    async def _pipe(
        self,
        source: asyncio.StreamReader,
        cable: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
        target: asyncio.StreamWriter,
        may_pass: asyncio.Event,
    ) -> None:
        """One direction, to the end of the connection; then the other direction ends too."""
        try:
            while data := await source.read(65536):
                await may_pass.wait()
                if cable not in self._cables:
                    return  # it was cut while this was kept back
                target.write(data)
                await target.drain()
        except OSError:
            pass  # one of the two ends is gone, which is what ends a cable
        finally:
            self._cables.discard(cable)
            for end in cable:
                end.transport.abort()
