"""A stream between this process and the serial port of a guest.

The stream does not block, and libvirt's event loop tells when it has output: a blocking one could not be closed by
another thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import libvirt

from common.errors import DriverFailed

T = TypeVar("T")

_PART_BYTES = 16 * 1024
_LOOK_EVERY_S = 1.0  # if an event was missed
_WRITE_S = 10.0
_RETRY_S = 0.02
_WOULD_BLOCK = -2
_EVENTS = libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP


class Calls(Protocol):
    """The part of a connection that the stream uses."""

    connection: Any

    def call(self, what: str, function: Callable[..., T], *arguments: object) -> T: ...


class LibvirtConsole:
    """Implements `ConsoleStream`."""

    def __init__(self, client: Calls, domain: Any) -> None:
        """Raises what libvirt says if the console cannot be opened."""
        self._client = client
        self._what = f"read the console of the guest {domain.name()}"
        self._lock = threading.Lock()  # of the stream
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._stream = client.call(self._what, client.connection.newStream, libvirt.VIR_STREAM_NONBLOCK)
        client.call(f"open the console of the guest {domain.name()}", domain.openConsole, None, self._stream, 0)
        try:
            client.call(self._what, self._stream.eventAddCallback, _EVENTS, _on_event, self._wake)
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        while not self._closed.is_set():
            self._wake.clear()
            data = self._receive()
            if data is not None:
                return data
            self._wake.wait(_LOOK_EVERY_S)
        return b""

    def write(self, data: bytes) -> None:
        ends_at = time.monotonic() + _WRITE_S
        while data and not self._closed.is_set():
            with self._lock:
                if self._closed.is_set():
                    return
                sent = self._client.call(self._what, self._stream.send, data)
            if sent == _WOULD_BLOCK:
                if time.monotonic() > ends_at:
                    raise DriverFailed("The guest does not take its input.")
                self._closed.wait(_RETRY_S)
            else:
                data = data[sent:]

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        self._wake.set()
        with self._lock:
            # The last one frees libvirt's part of the stream, which would keep the connection open: its library never
            # forgets a stream that had a callback, so that Python does not free it.
            for end in (self._stream.eventRemoveCallback, self._stream.abort, self._stream.__del__):
                with suppress(libvirt.libvirtError):  # the guest or the connection has ended it
                    end()

    def _receive(self) -> bytes | None:
        """Returns None if there is no output yet: the next output wakes the reader."""
        with self._lock:
            if self._closed.is_set():
                return b""
            found = self._client.call(self._what, self._stream.recv, _PART_BYTES)
            if found != _WOULD_BLOCK:
                return bytes(found)
            self._client.call(self._what, self._stream.eventUpdateCallback, _EVENTS)
            return None


def _on_event(stream: Any, _events: int, reader: threading.Event) -> None:
    """Wakes the reader, from libvirt's event thread. libvirt repeats an event until the output has been read."""
    with suppress(libvirt.libvirtError):
        stream.eventUpdateCallback(0)
    reader.set()
