"""The two WebSockets of a console that LXD has opened: one for the data, one that holds it open."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Protocol

from attrs import field, frozen
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection

from common.errors import HostUnreachable, InnkeeperError
from rackd.drivers.lxd.connection.client import Client, path
from rackd.drivers.lxd.connection.websocket import connect_websocket

_MAX_PART_BYTES = 1024 * 1024
_END_S = 8.0  # for LXD to end a console: it keeps one that is cut off, as that of a guest that reads nothing


class Control(Protocol):
    """Holds a console open until it is closed."""

    def close(self) -> None: ...

    def recv(self, timeout: float | None = None) -> str | bytes:
        """Returns what the server sends there; raises ConnectionClosed at the end."""


@frozen(kw_only=True)
class ConsoleOperation:
    """A console that a server offers: to who has the secrets, for a short time."""

    id: str
    data_secret: str = field(repr=False)
    control_secret: str = field(repr=False)

    def connect(self, client: Client) -> tuple[ClientConnection, ClientConnection]:
        """Returns data and control. The server connects to the guest once it has both.

        The control first, as the products' own clients do: LXD 5.0 and Incus 6.0 end as a whole when data end that
        never had a control. If one of them fails, the offer is taken back: Incus counts it as a console that is open.
        Raises HostUnreachable, NotRunning, PeerChanged or NotTrusted.
        """
        try:
            control = self._connect(client, self.control_secret, close_s=1.0)
            try:
                return self.connect_data(client), control
            except BaseException:
                control.close()
                raise
        except BaseException:
            with suppress(InnkeeperError):  # it has ended, or its server
                client.delete(path("operations", self.id))
            raise

    def connect_data(self, client: Client) -> ClientConnection:
        """Raises as `connect`."""
        return self._connect(client, self.data_secret, close_s=_END_S)

    def _connect(self, client: Client, secret: str, *, close_s: float) -> ClientConnection:
        return connect_websocket(
            client, path("operations", self.id, "websocket"), {"secret": secret}, what="console",
            max_bytes=_MAX_PART_BYTES, close_s=close_s,
        )  # fmt: skip


class LxdConsole:
    """Implements `ConsoleStream`."""

    def __init__(self, data: ClientConnection, control: Control, *, ends_itself: bool) -> None:
        self._data = data
        self._control = control
        self._ends_itself = ends_itself
        self._closed = threading.Event()

    @classmethod
    def connect(cls, client: Client, operation: ConsoleOperation, *, ends_itself: bool) -> LxdConsole:
        """Raises as `ConsoleOperation.connect`.

        `ends_itself`: the server closes the control once the data has ended, as for a serial port, whose data are one
        connection. A screen could have further ones, so it ends with its control alone.
        """
        return cls(*operation.connect(client), ends_itself=ends_itself)

    def read(self) -> bytes:
        while True:
            try:
                found = self._data.recv()
            except (ConnectionClosed, EOFError):
                return b""
            except (WebSocketException, OSError) as error:
                if self._closed.is_set():
                    return b""
                raise HostUnreachable(f"The console was cut off: {error}") from error
            if isinstance(found, str):  # LXD sends a text, an empty one, when the guest ends; then it waits for a close
                return found.encode()
            if found:
                return found

    def write(self, data: bytes) -> None:
        try:
            self._data.send(data)
        except (WebSocketException, OSError) as error:
            raise HostUnreachable(f"The console was cut off: {error}") from error

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        if not self._ends_itself:  # LXD cuts the data when it has seen the end of the control, and writes nothing then
            with suppress(WebSocketException, OSError):
                self._control.close()
            with suppress(WebSocketException, OSError):
                self._data.close()
            return
        # The data first, to its end: LXD 5.0 then writes nothing there any more. If the control ends first, two of its
        # threads may write to the data at once, which ends the whole daemon ("concurrent write to websocket"). In a
        # cluster another member answers for the guest's, and passes both ends on in any order; that the guest's has
        # seen the end of the data shows in the control, which it then closes.
        with suppress(WebSocketException, OSError):
            self._data.close()
        with suppress(WebSocketException, OSError, EOFError):
            while True:
                self._control.recv(timeout=_END_S)
        with suppress(WebSocketException, OSError):
            self._control.close()
