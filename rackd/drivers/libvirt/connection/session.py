"""Provides the connection to one libvirt host and reopens it after a loss."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from common.errors import HostUnreachable
from rackd.drivers.libvirt.connection.client import Client

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

CLOSE_WAIT_S = 1.0


class Session:
    """Thread-safe. One thread at a time makes calls through its connection (see own_connection.py)."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._lost_listeners: list[Callable[[], None]] = []
        self.closing = threading.Event()

    def client(self) -> Client:
        """Returns the live connection. Blocks while it is opened, as long as the host does.

        Raises HostUnreachable after `close`, and what the connect function raises.
        """
        with self._lock:
            self._check_open()
            if self._client is not None and self._client.alive():
                return self._client
            if self._client is not None:
                self._client.close()
                self._client = None
            client = self._connect()
            if self.closing.is_set():
                client.close()
                self._check_open()
            client.on_lost(self._on_lost)
            self._client = client
            return client

    def _check_open(self) -> None:
        if self.closing.is_set():
            raise HostUnreachable("This rack closed the connection to the host.")

    def when_lost(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls `listener` on libvirt's event thread each time the connection is lost, until the returned function is
        called.
        """
        self._lost_listeners.append(listener)
        return lambda: self._lost_listeners.remove(listener)

    def _on_lost(self) -> None:
        log.info("libvirt_connection_lost")
        for listener in tuple(self._lost_listeners):
            listener()

    def close(self) -> None:
        """Idempotent. If another thread is opening the connection, that thread closes it."""
        self.closing.set()
        if not self._lock.acquire(timeout=CLOSE_WAIT_S):
            return
        try:
            if self._client is not None:
                self._client.close()
                self._client = None
        finally:
            self._lock.release()
