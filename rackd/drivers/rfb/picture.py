"""A picture of a screen, as PNG or as RGB bytes, and what hypervisors send converted to it."""

from __future__ import annotations

import re
import struct
import zlib

from attrs import field, frozen

from common.errors import DriverFailed

MAX_SIDE = 16_384  # pixels; what a hypervisor sends is bounded before anything is computed of it
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PPM = re.compile(rb"P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s")
_FAST = 1  # zlib's level: a screen is seen once


@frozen(kw_only=True)
class Picture:
    """A picture. `rgb` has three bytes for each pixel, row by row; None if only the PNG is known."""

    width: int
    height: int
    rgb: bytes | None = field(default=None, repr=False)
    png: bytes = field(default=b"", repr=False)

    def as_png(self) -> bytes:
        return self.png or _png(self.width, self.height, self.rgb or b"")


def picture_of(content: bytes) -> Picture:
    """Returns the picture of a PNG or of a binary PPM file. Raises DriverFailed for anything else."""
    if content.startswith(_PNG_START) and content[12:16] == b"IHDR" and len(content) > 24:
        width, height = struct.unpack(">II", content[16:24])
        return _checked(Picture(width=width, height=height, png=content))
    found = _PPM.match(content)
    if found is None:
        raise DriverFailed("The hypervisor sent a screenshot that is neither PNG nor PPM.")
    width, height = int(found[1]), int(found[2])
    rgb = content[found.end() :]
    if len(rgb) != 3 * width * height:
        raise DriverFailed(f"The hypervisor sent {len(rgb)} bytes for a screen of {width} × {height} pixels.")
    return _checked(Picture(width=width, height=height, rgb=rgb))


def _checked(picture: Picture) -> Picture:
    if not (0 < picture.width <= MAX_SIDE and 0 < picture.height <= MAX_SIDE):
        raise DriverFailed(f"The hypervisor sent a screen of {picture.width} × {picture.height} pixels.")
    return picture


def _png(width: int, height: int, rgb: bytes) -> bytes:
    row = 3 * width
    lines = b"".join(b"\0" + rgb[start : start + row] for start in range(0, row * height, row))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, _FAST)), (b"IEND", b""))
    return _PNG_START + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
