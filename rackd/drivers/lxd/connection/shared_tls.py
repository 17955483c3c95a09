"""A TLS connection that one thread reads while others write.

OpenSSL allows one thread at a time in a connection; Python's ssl module does not enforce that. If one thread reads
the server's session tickets while another writes, either fails with "internal error" or waits forever for data that
the other has consumed.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class SharedTls:
    """Provides the socket methods that websockets uses. At most one thread is inside `tls`, and none blocks there."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        """Takes over `tls`, whose handshake is complete, and closes it."""
        tls.setblocking(False)
        self._tls = tls
        self._inside = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._send_s: float | None = None

    def fileno(self) -> int:
        return self._tls.fileno()

    def getsockname(self) -> object:
        return self._tls.getsockname()

    def getpeername(self) -> object:
        return self._tls.getpeername()

    def settimeout(self, send_s: float | None) -> None:
        """Limits the following sends; `recv` waits until the connection ends."""
        self._send_s = send_s

    def recv(self, size: int) -> bytes:
        """Returns the received data, or b"" after the peer or `close` ended the connection."""
        return self._once_ready(lambda: self._tls.recv(size), ends_at=None)

    def sendall(self, data: bytes) -> None:
        """Raises TimeoutError if the peer does not accept the data in time, OSError if the connection is closed."""
        ends_at = None if self._send_s is None else time.monotonic() + self._send_s
        left = memoryview(data)
        while left:
            part = left
            left = left[self._once_ready(lambda: self._tls.send(part), ends_at=ends_at) :]  # noqa: B023  called at once

    def shutdown(self, how: int) -> None:
        socket.socket.shutdown(self._tls, how)  # SSLSocket.shutdown would switch to unencrypted reading

    def close(self) -> None:
        """Closes the connection and wakes all waiting threads. Idempotent."""
        with self._inside:
            if not self._closed:
                self._closed = True
                with suppress(OSError):  # the peer closed it first
                    self.shutdown(socket.SHUT_RDWR)
                self._close_unless_awaited()

    def _once_ready(self, work: Callable[[], T], *, ends_at: float | None) -> T:
        while True:
            with self._inside:
                try:
                    return work()
                except ssl.SSLWantReadError:
                    wanted = select.POLLIN
                except ssl.SSLWantWriteError:
                    wanted = select.POLLOUT
                self._waiting += 1
            try:
                self._wait(wanted, ends_at)
            finally:
                with self._inside:
                    self._waiting -= 1
                    self._close_unless_awaited()

    def _wait(self, wanted: int, ends_at: float | None) -> None:
        poll = select.poll()
        poll.register(self._tls, wanted)
        if not poll.poll(None if ends_at is None else max(0.0, ends_at - time.monotonic()) * 1000):
            raise TimeoutError("the peer accepts no data")

    def _close_unless_awaited(self) -> None:
        """Delays the close while threads poll the descriptor, because its number may be reused at once."""
        if self._closed and not self._waiting:
            self._tls.close()
