"""Forwards packets between two TUN interfaces and holds each for some time: `delay.py SECONDS FD FD`.

A program of its own that imports nothing of Innkeeper, so that it starts at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from select import select

MAX_PACKET_BYTES = 65536


def forward(delay_s: float, first: int, second: int) -> None:
    """Never returns: it is killed."""
    held: deque[tuple[float, int, bytes]] = deque()
    while True:
        wait_s = max(0.0, held[0][0] - time.monotonic()) if held else None
        for source in select([first, second], [], [], wait_s)[0]:
            packet = os.read(source, MAX_PACKET_BYTES)
            held.append((time.monotonic() + delay_s, second if source == first else first, packet))
        while held and held[0][0] <= time.monotonic():
            _, target, packet = held.popleft()
            os.write(target, packet)


if __name__ == "__main__":
    forward(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
