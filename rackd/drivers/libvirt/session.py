"""One connection to a host, opened when needed and again after it was lost."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from common.errors import HostUnreachable
from rackd.drivers.libvirt.client import Client

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CLOSE_WAIT_S = 1.0


class Session:
    """Shared by the host's lane and its watchers, which may ask for the connection at the same time."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._lost_listeners: list[Callable[[], None]] = []
        self.closing = threading.Event()

    def client(self) -> Client:
        """The live connection. Blocks while it is being opened, for as long as the host does."""
        with self._lock:
            self._refuse_when_closing()
            if self._client is not None and self._client.alive():
                return self._client
            if self._client is not None:
                self._client.close()
                self._client = None
            client = self._connect()
            if self.closing.is_set():
                client.close()
                self._refuse_when_closing()
            client.on_lost(self._lost)
            self._client = client
            return client

    def _refuse_when_closing(self) -> None:
        if self.closing.is_set():
            raise HostUnreachable("The connection to the host was closed here.")

    def when_lost(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` on libvirt's event thread when the connection ends by itself, until the function returned."""
        self._lost_listeners.append(listener)
        return lambda: self._lost_listeners.remove(listener)

    def _lost(self) -> None:
        log.info("libvirt_connection_lost")
        for listener in tuple(self._lost_listeners):
            listener()

    def close(self) -> None:
        """Harmless to repeat. A connection that is being opened right now is closed by the thread that opens it."""
        self.closing.set()
        if not self._lock.acquire(timeout=CLOSE_WAIT_S):
            return
        try:
            if self._client is not None:
                self._client.close()
                self._client = None
        finally:
            self._lock.release()
