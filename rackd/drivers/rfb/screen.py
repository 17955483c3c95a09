"""A screen of pictures and keys, as the stream of a VNC server."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from rackd.drivers.rfb.picture import Picture
from rackd.drivers.rfb.protocol import Asked, Key, RfbServer

_LOOK_EVERY_S = 0.5
_AFTER_KEY_S = 0.1  # a guest needs a moment to draw what a key has changed


class Display(Protocol):
    """The picture and the keyboard of a guest."""

    def picture(self) -> Picture | None:
        """Returns what the screen shows now; None once the guest is off."""

    def press(self, key: Key) -> None:
        """Passes a key to the guest."""


class PictureScreen:
    """Implements `ConsoleStream`: one thread reads, which looks at the display, and another writes."""

    def __init__(self, name: str, display: Display, first: Picture) -> None:
        self._display = display
        self._server = RfbServer(name, first)
        self._lock = threading.Lock()  # of the server and of what was asked
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._asked: Asked | None = None
        self._shown: Picture | None = None
        self._looks_at_s = 0.0

    def read(self) -> bytes:
        while not self._closed.is_set():
            self._changed.clear()
            with self._lock:
                output, asked = self._server.output(), self._asked
            if output:
                return output
            wait_s = None if asked is None else self._looks_at_s - time.monotonic()
            if wait_s is None or (asked is not None and asked.incremental and wait_s > 0):
                self._changed.wait(wait_s)
            elif not self._look(whole=asked is not None and not asked.incremental):
                return b""
        return b""

    def _look(self, *, whole: bool) -> bool:
        """Returns False once the guest is off."""
        self._looks_at_s = time.monotonic() + _LOOK_EVERY_S
        picture = self._display.picture()
        if picture is None:
            return False
        if whole or picture != self._shown:
            with self._lock:
                self._server.show(picture)
                self._shown, self._asked = picture, None
        return True

    def write(self, data: bytes) -> None:
        with self._lock:
            events = tuple(self._server.receive(data))
            for event in events:
                if isinstance(event, Asked):
                    keeps_whole = self._asked is not None and not self._asked.incremental
                    self._asked = self._asked if keeps_whole else event
        for event in events:
            if isinstance(event, Key):
                self._display.press(event)
                self._looks_at_s = min(self._looks_at_s, time.monotonic() + _AFTER_KEY_S)
        self._changed.set()

    def close(self) -> None:
        self._closed.set()
        self._changed.set()
