"""The WebSocket of one listener to lifecycle events."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from rackd.drivers.lxd.connection.shared_tls import SharedTls

_SEND_S = 10.0


class EventStream:
    """The handshake is over. One thread reads; those of other requests send."""

    def __init__(self, connection: ssl.SSLSocket, project: str) -> None:
        self._tls = SharedTls(connection)
        self._tls.settimeout(_SEND_S)
        self._project = project
        self._protocol = ServerProtocol(state=OPEN)
        self._inside = threading.Lock()

    def send(self, event: Mapping[str, Any]) -> None:
        if event["project"] == self._project:
            with self._inside, suppress(OSError, WebSocketException):  # the listener has gone
                self._protocol.send_text(json.dumps(event).encode())
                self._flush()

    def run(self) -> None:
        """Returns when the listener has closed the stream."""
        with suppress(OSError):
            while data := self._tls.recv(65536):
                with self._inside:
                    self._protocol.receive_data(data)
                    self._flush()
                    if self._protocol.close_expected():
                        break
        self._tls.close()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._tls.sendall(data)
