"""A connection to the VNC server of a guest, which libvirt has opened and handed over as a file descriptor."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_PART_BYTES = 64 * 1024


class ScreenSocket:
    """Implements `ConsoleStream`."""

    def __init__(self, descriptor: int) -> None:
        """Takes over the descriptor."""
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._closed = threading.Event()
        self._reading = threading.Lock()  # the descriptor stays open, and the reader's own, while somebody reads

    def read(self) -> bytes:
        with self._reading:
            if self._closed.is_set():
                return b""
            try:
                return self._socket.recv(_PART_BYTES)
            except OSError:  # the emulator has ended
                return b""

    def write(self, data: bytes) -> None:
        with suppress(OSError):  # the reader sees the end
            self._socket.sendall(data)

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the reader
        with self._reading:
            self._socket.close()
