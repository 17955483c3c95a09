"""A WebSocket to the region, with the certificate rules and the key of its profile."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from twisted.internet import protocol
from twisted.internet.endpoints import wrapClientTLS
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from common.errors import InnkeeperError, LinkLost
from common.process.deferreds import from_deferred
from common.process.tcp_endpoint import tcp_endpoint

MAX_MESSAGE_BYTES = 1024 * 1024
_DATA = frozenset({Opcode.BINARY, Opcode.TEXT, Opcode.CONT})


class WebSocket(protocol.Protocol):
    """Messages in both directions. `text` are those that are texts."""

    def __init__(self, client: ClientProtocol, authorization: str) -> None:
        self._client = client
        self._authorization = authorization
        self._events: deque[Frame] = deque()
        self._changed = asyncio.Event()
        self._lost: Failure | None = None
        self.response: Response | None = None

    def connectionMade(self) -> None:  # noqa: N802  # Twisted's name
        request = self._client.connect()
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        self._client.send_request(request)
        self._flush()

    def dataReceived(self, data: bytes) -> None:  # noqa: N802  # Twisted's name
        self._client.receive_data(data)
        self._take_events()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: N802  # Twisted's name
        self._lost = reason
        if self._client.state is not State.CLOSED:
            self._client.receive_eof()
            self._take_events()
        self._changed.set()

    async def opened(self) -> Response:
        """Returns the answer to the handshake, whatever its status. Raises LinkLost without one."""
        while self.response is None:
            if self._lost is not None:
                raise LinkLost(f"The region ended the connection: {self._lost.getErrorMessage()}")
            self._changed.clear()
            await self._changed.wait()
        if self.response.status_code == 101 and isinstance(self._client.handshake_exc, InvalidHandshake):
            raise InnkeeperError(f"The server does not answer as a region does: {self._client.handshake_exc}")
        return self.response

    async def receive(self) -> bytes | str | None:
        """Waits for a message: bytes, or a text. None once the connection has ended."""
        while not self._events:
            if self._lost is not None or self._client.state is State.CLOSED:
                return None
            self._changed.clear()
            await self._changed.wait()
        frame = self._events.popleft()
        data = bytes(frame.data)
        return data.decode("utf-8", "replace") if frame.opcode is Opcode.TEXT else data

    def send(self, data: bytes) -> None:
        if self._client.state is State.OPEN:
            self._client.send_binary(data)
            self._flush()

    def close(self) -> None:
        """Idempotent; does not wait."""
        if self._client.state is State.OPEN:
            self._client.send_close(1000)
            self._flush()
        if self.transport is not None:
            self.transport.loseConnection()

    def _take_events(self) -> None:
        for event in self._client.events_received():
            if isinstance(event, Response):
                self.response = event
            elif isinstance(event, Frame) and event.opcode in _DATA:
                self._events.append(event)
        self._flush()
        self._changed.set()

    def _flush(self) -> None:
        for data in self._client.data_to_send():
            if data and self.transport is not None:
                self.transport.write(data)


async def open_websocket(
    reactor: Any, policy: IPolicyForHTTPS, url: str, authorization: str, *, connect_s: float
) -> WebSocket:
    """Connects to an http or https URL, and returns before the handshake is answered. Raises Twisted's errors."""
    uri = parse_uri(url.replace("http", "ws", 1))
    endpoint: Any = tcp_endpoint(reactor, uri.host, uri.port, connect_s=connect_s)
    if uri.secure:
        endpoint = wrapClientTLS(policy.creatorForNetloc(uri.host.encode("ascii"), uri.port), endpoint)
    client = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
    factory = protocol.Factory.forProtocol(lambda: WebSocket(client, authorization))
    found: WebSocket = await from_deferred(endpoint.connect(factory))
    return found
