"""Consoles and screens, each on a connection of its own.

Two threads must not wait for one connection: when it is lost, as that of a host that hangs, libvirt's library (9.0)
ends the process with SIGSEGV, or both wait as long as the host hangs. Each other connection has one thread at a time,
but consoles are read, written and closed by threads of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rackd.drivers.contract import ConsoleStream
from rackd.drivers.libvirt.connection.client import Client

CLOSE_WAIT_S = 1.0


class OwnConnections:
    """Opens them. Thread-safe."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        """`connect` opens a connection."""
        self._connect = connect
        self._open: set[ConnectedStream] = set()

    def open(self, begin: Callable[[Client], ConsoleStream]) -> ConsoleStream:
        """Raises what `begin` and the connect function raise."""
        client = self._connect()
        try:
            stream = ConnectedStream(begin(client), client, ended=self._open.discard)
        except BaseException:
            client.close()
            raise
        self._open.add(stream)
        return stream

    def close(self) -> None:
        """Ends all of them; those of a host that hangs later, so that the caller does not wait for it."""
        closing = [threading.Thread(target=one.close, name="console-close", daemon=True) for one in tuple(self._open)]
        for thread in closing:
            thread.start()
        ends_at = time.monotonic() + CLOSE_WAIT_S
        for thread in closing:
            thread.join(max(0.0, ends_at - time.monotonic()))


class ConnectedStream:
    """Implements `ConsoleStream`: a stream whose connection ends with it."""

    def __init__(self, stream: ConsoleStream, client: Client, *, ended: Callable[[ConnectedStream], None]) -> None:
        """Takes over both. Calls `ended` when it is closed."""
        self._parts: tuple[ConsoleStream, Client] | None = (stream, client)
        self._ended = ended

    def read(self) -> bytes:
        parts = self._parts
        return b"" if parts is None else parts[0].read()

    def write(self, data: bytes) -> None:
        parts = self._parts
        if parts is not None:
            parts[0].write(data)

    def close(self) -> None:
        """Drops both, so that no other thread frees them: freeing the last part of a connection waits for the host."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        self._ended(self)
        stream, client = parts
        try:
            stream.close()
        finally:
            client.close()
