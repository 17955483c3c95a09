"""The screen of a simulated guest: bars of colour, and a cell for each key that was pressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from rackd.drivers.rfb.picture import Picture
from rackd.drivers.rfb.protocol import Key

WIDTH, HEIGHT = 320, 240
BARS = ((192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0), (192, 0, 192), (192, 0, 0), (0, 0, 192))
KEYS_FROM = 200  # the row below which the keys are
_CELL = 16
_CELLS = WIDTH // _CELL


class SimulatedDisplay:
    """Implements `Display`. `runs` is called by the reading thread."""

    def __init__(self, runs: Callable[[], bool]) -> None:
        self._runs = runs
        self._pressed: list[int] = []

    def picture(self) -> Picture | None:
        if not self._runs():
            return None
        bar = b"".join(bytes(BARS[at * len(BARS) // WIDTH]) for at in range(WIDTH))
        cells = b"".join(colour_of(symbol) * _CELL for symbol in self._pressed[-_CELLS:])
        keys = cells.ljust(3 * WIDTH, b"\0")
        rows = bar * KEYS_FROM + keys * (HEIGHT - KEYS_FROM)
        return Picture(width=WIDTH, height=HEIGHT, rgb=rows)

    def press(self, key: Key) -> None:
        if key.down:
            self._pressed = [*self._pressed[-_CELLS:], key.symbol]


def colour_of(symbol: int) -> bytes:
    """Returns the colour of a key's cell, which is never black."""
    return (zlib.crc32(symbol.to_bytes(4, "big")) & 0xFFFFFF | 0x404040).to_bytes(3, "big")
