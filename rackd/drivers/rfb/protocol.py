"""The server's side of RFB 3.8 (RFC 6143), without I/O: bytes become events, pictures bytes.

Security is None: whoever reads and writes this stream was checked by the region before it was opened.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from attrs import frozen

from common.errors import InvalidRequest, Unsupported
from rackd.drivers.rfb.picture import Picture

VERSION = b"RFB 003.008\n"
MAX_CUT_TEXT_BYTES = 256 * 1024
_MAX_WAITING_BYTES = MAX_CUT_TEXT_BYTES + 64
_NONE = 1  # the security type
_RAW, _TIGHT_PNG, _DESKTOP_SIZE, _EXTENDED_KEY = 0, -260, -223, -258
_PNG_CONTROL = 0xA0
_FORMAT = struct.Struct(">BBBBHHHBBBxxx")
_RGB = (32, 24, 0, 1, 255, 255, 255, 16, 8, 0)  # what is offered; the client chooses another order of bytes


@frozen
class Key:
    """A key that was pressed or released. `code` is its place on the keyboard (XT scan code); None if unknown."""

    symbol: int
    down: bool
    code: int | None = None


@frozen
class Asked:
    """The client wants a picture: the whole one, or one as soon as anything differs."""

    incremental: bool


Event = Key | Asked


class RfbServer:
    """One client's connection. Raises InvalidRequest for a client that does not speak the protocol."""

    def __init__(self, name: str, first: Picture) -> None:
        self._name = name
        self._size = first.width, first.height
        self._unparsed = bytearray()
        self._output = bytearray(VERSION)
        self._encodings: frozenset[int] = frozenset()
        self._announced_keys = False
        self._places = _places(_RGB)
        self._next: Callable[[], Event | bool | None] = self._version

    def receive(self, data: bytes) -> Iterator[Event]:
        self._unparsed += data
        if len(self._unparsed) > _MAX_WAITING_BYTES:
            raise InvalidRequest("The VNC client sent a message that is too long.")
        while self._unparsed:
            found = self._next()
            if found is False:  # the message is not complete yet
                return
            if isinstance(found, Key | Asked):
                yield found

    def output(self) -> bytes:
        """Returns what is to be sent to the client, and forgets it."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def show(self, picture: Picture) -> None:
        """Answers an `Asked`. Raises Unsupported if the client takes no form in which there is the picture."""
        rectangles = []
        if _EXTENDED_KEY in self._encodings and not self._announced_keys:
            self._announced_keys = True
            rectangles.append(_rectangle(0, 0, _EXTENDED_KEY))
        if (picture.width, picture.height) != self._size:
            self._size = picture.width, picture.height
            if _DESKTOP_SIZE not in self._encodings:
                raise Unsupported("The screen has another size now, and this VNC client does not follow it.")
            rectangles.append(_rectangle(*self._size, _DESKTOP_SIZE))
        rectangles.append(self._content(picture))
        self._output += struct.pack(">BxH", 0, len(rectangles)) + b"".join(rectangles)

    def _content(self, picture: Picture) -> bytes:
        if _TIGHT_PNG in self._encodings:
            png = picture.as_png()
            head = _rectangle(picture.width, picture.height, _TIGHT_PNG)
            return head + bytes((_PNG_CONTROL,)) + _compact_length(len(png)) + png
        if picture.rgb is None:
            raise Unsupported("This screen needs a VNC client that takes PNG (encoding -260), as noVNC does.")
        pixels = bytearray(4 * picture.width * picture.height)
        for colour, place in enumerate(self._places):
            pixels[place::4] = picture.rgb[colour::3]
        return _rectangle(picture.width, picture.height, _RAW) + pixels

    def _take(self, size: int) -> bytes | None:
        if len(self._unparsed) < size:
            return None
        data = bytes(self._unparsed[:size])
        del self._unparsed[:size]
        return data

    def _version(self) -> bool:
        data = self._take(len(VERSION))
        if data is None:
            return False
        if data != VERSION:
            raise InvalidRequest("The VNC client does not speak RFB 3.8.")
        self._output += bytes((1, _NONE))
        self._next = self._security
        return True

    def _security(self) -> bool:
        if self._take(1) != bytes((_NONE,)):
            raise InvalidRequest("The VNC client chose a security type that was not offered.")
        self._output += struct.pack(">I", 0)
        self._next = self._begin
        return True

    def _begin(self) -> bool:
        self._take(1)  # whether others may see the screen too: every connection is its own
        name = self._name.encode()
        self._output += struct.pack(">HH", *self._size) + _FORMAT.pack(*_RGB)
        self._output += struct.pack(">I", len(name)) + name
        self._next = self._message
        return True

    def _message(self) -> Event | bool | None:
        kind = self._unparsed[0]
        size = self._length(kind)
        data = None if size is None else self._take(size)
        if data is None:
            return False
        if kind == 0:
            self._places = _places(_FORMAT.unpack(data[4:]))
        elif kind == 2:
            self._encodings = frozenset(struct.unpack(f">{(len(data) - 4) // 4}i", data[4:]))
        elif kind == 3:
            return Asked(incremental=data[1] != 0)
        elif kind == 4:
            return Key(symbol=int.from_bytes(data[4:8], "big"), down=data[1] != 0)
        elif kind == 255:
            down, symbol, code = struct.unpack(">HII", data[2:])
            return Key(symbol=symbol, down=down != 0, code=code)
        return None  # the pointer, and text for the clipboard: nothing takes them

    def _length(self, kind: int) -> int | None:
        """Returns the length of the message that begins here; None while it is not known."""
        fixed = {0: 20, 3: 10, 4: 8, 5: 6, 255: 12}.get(kind)
        if fixed is not None:
            return fixed
        if kind not in (2, 6):
            raise InvalidRequest(f"The VNC client sent a message of an unknown kind ({kind}).")
        known = 4 if kind == 2 else 8
        if len(self._unparsed) < known:
            return None
        if kind == 2:
            return known + 4 * int.from_bytes(self._unparsed[2:4], "big")
        length = abs(int.from_bytes(self._unparsed[4:8], "big", signed=True))  # negative: the extended clipboard
        if length > MAX_CUT_TEXT_BYTES:
            raise InvalidRequest("The VNC client sent a text that is too long.")
        return known + length


def _places(pixel_format: tuple[int, ...]) -> tuple[int, int, int]:
    """Returns which byte of a pixel has red, green and blue. Raises Unsupported for pixels of another kind."""
    bits, _, big_endian, true_colour, *rest = pixel_format
    highest, shifts = rest[:3], rest[3:6]
    if bits != 32 or not true_colour or highest != [255, 255, 255] or any(shift % 8 or shift > 24 for shift in shifts):
        raise Unsupported("The VNC client asked for pixels of another kind than 32 bits with 8 for each colour.")
    red, green, blue = (3 - shift // 8 if big_endian else shift // 8 for shift in shifts)
    return red, green, blue


def _rectangle(width: int, height: int, encoding: int) -> bytes:
    return struct.pack(">HHHHi", 0, 0, width, height, encoding)


def _compact_length(length: int) -> bytes:
    """Seven bits in each of two bytes, eight in a third."""
    if length >= 1 << 22:
        raise Unsupported(f"A picture of {length} bytes is too large for this VNC client.")
    if length < 1 << 7:
        return bytes((length,))
    if length < 1 << 14:
        return bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((length & 0x7F | 0x80, length >> 7 & 0x7F | 0x80, length >> 14))
