"""What a viewer of screens sends and reads, by VNC (RFB 3.8) or as a channel of SPICE."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

from attrs import define, field, frozen

from rackd.drivers.contract import ConsoleStream

VERSION = b"RFB 003.008\n"
RAW, TIGHT_PNG, DESKTOP_SIZE, EXTENDED_KEY = 0, -260, -223, -258
SPICE_MAGIC = b"REDQ"
MAIN, INPUTS = 1, 3


@frozen(kw_only=True)
class Screen:
    """What a server said when the viewer connected."""

    width: int
    height: int
    name: str


@frozen(kw_only=True)
class Rectangle:
    width: int
    height: int
    encoding: int
    content: bytes


def threaded(stream: ConsoleStream) -> Viewer:
    """Returns a viewer of a driver's stream, whose calls block."""

    async def read() -> bytes:
        return await asyncio.to_thread(stream.read)

    async def write(data: bytes) -> None:
        await asyncio.to_thread(stream.write, data)

    return Viewer(read, write)


@define
class Viewer:
    """Reads the stream of a VNC server. `read` returns some bytes of it, none at its end; `write` sends to it."""

    read: Callable[[], Awaitable[bytes]]
    write: Callable[[bytes], Awaitable[None]]
    _unread: bytearray = field(factory=bytearray)

    async def take(self, size: int) -> bytes:
        while len(self._unread) < size:
            data = await self.read()
            assert data, f"the screen ended after {bytes(self._unread)!r}"
            self._unread += data
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    async def connect(self) -> Screen:
        assert await self.take(len(VERSION)) == VERSION
        await self.write(VERSION)
        kinds = await self.take((await self.take(1))[0])
        assert 1 in kinds, f"the server wants a password: {kinds!r}"
        await self.write(b"\x01")
        assert await self.take(4) == bytes(4)
        await self.write(b"\x01")
        width, height, _, length = struct.unpack(">HH16sI", await self.take(24))
        return Screen(width=width, height=height, name=(await self.take(length)).decode())

    async def picture(self, screen: Screen, *, incremental: bool = False) -> list[Rectangle]:
        """Asks for a picture, and returns its parts."""
        await self.write(asked(screen, incremental=incremental))
        return await self.answer()

    async def answer(self) -> list[Rectangle]:
        """Returns the parts of the next picture."""
        kind, count = struct.unpack(">BxH", await self.take(4))
        assert kind == 0
        return [await self._rectangle() for _ in range(count)]

    async def _rectangle(self) -> Rectangle:
        _, _, width, height, encoding = struct.unpack(">HHHHi", await self.take(12))
        content = b""
        if encoding == RAW:
            content = await self.take(4 * width * height)
        elif encoding == TIGHT_PNG:
            assert (await self.take(1))[0] >> 4 == 0xA
            content = await self.take(await self._compact_length())
        return Rectangle(width=width, height=height, encoding=encoding, content=content)

    async def _compact_length(self) -> int:
        length = 0
        for shift in (0, 7, 14):
            (found,) = await self.take(1)
            length |= (found if shift == 14 else found & 0x7F) << shift
            if not found & 0x80:
                break
        return length


def asked(screen: Screen, *, incremental: bool) -> bytes:
    return struct.pack(">BBHHHH", 3, int(incremental), 0, 0, screen.width, screen.height)


def encodings(*wanted: int) -> bytes:
    return struct.pack(f">BxH{len(wanted)}i", 2, len(wanted), *wanted)


def key(symbol: int, *, down: bool) -> bytes:
    return struct.pack(">BBxxI", 4, int(down), symbol)


def placed_key(symbol: int, code: int, *, down: bool) -> bytes:
    return struct.pack(">BBHII", 255, 0, int(down), symbol, code)


def pointer(x: int, y: int) -> bytes:
    return struct.pack(">BBHH", 5, 0, x, y)


def spice_link(channel: int) -> bytes:
    """Returns the first message of a channel that has no capabilities and begins a session."""
    return struct.pack("<4sIII", SPICE_MAGIC, 2, 2, 18) + struct.pack("<IBBIII", 0, channel, 0, 0, 0, 18)
