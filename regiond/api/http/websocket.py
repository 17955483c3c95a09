"""Answers a request with a WebSocket: takes over its connection until either side, or the handler, ends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from twisted.internet.interfaces import IPushProducer
from websockets.datastructures import Headers
from websockets.exceptions import WebSocketException
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from zope.interface import implementer

from common.bodies.body_stream import Flow
from common.errors import InnkeeperError, InvalidRequest
from regiond.api import errors
from regiond.api.replies import Reply, Upgrade

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024
MAX_WAITING_BYTES = 64 * 1024  # of input: then the connection is not read
FRAMES_PER_S = 100  # of any kind, control frames too: each takes some 20 µs of the event loop
BURST_S = 5.0  # so many seconds of them at once
PING_EVERY_S = 30.0  # so that proxies keep the connection
STALL_S = 120.0  # in which a client must make room in the send buffer
CLOSE_S = 5.0
DISCONNECT_S = 10.0
_NORMAL, _REFUSED, _FAILED = 1000, 4000, 1011
_MAX_REASON_BYTES = 123  # of a close frame
_PART_BYTES = 1024  # are parsed at once
_BINARY = Subprotocol("binary")
_INPUT = frozenset({Opcode.BINARY, Opcode.TEXT, Opcode.CONT})


@implementer(IPushProducer)
class WebSocket:
    """One connection, whose messages are bytes. Implements `Terminal` of the consoles.

    Reads no more while the client does not, while input waits, and while frames come faster than FRAMES_PER_S: then TCP
    holds the client back.
    """

    def __init__(self, request: Any, protocol: ServerProtocol) -> None:
        """Takes over the connection of a request, with a protocol that has accepted it."""
        self._channel = request.channel
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._unparsed = bytearray()
        self._input = bytearray()
        self._changed = asyncio.Event()
        self._is_over = False
        self._is_lost = False
        self._flow = Flow(STALL_S)
        self._paid_until_s = self._loop.time() - BURST_S  # the time that the frames so far take at FRAMES_PER_S
        self._timers: dict[str, asyncio.TimerHandle] = {}
        request.registerProducer(self, True)  # Twisted's interface
        self._flush()
        self._ping()
        self._channel.take_over(self._received, self._lost)

    async def receive(self) -> bytes | None:
        """Waits for input and returns what there is of it, whatever its messages; None once the client has closed."""
        while not self._input and not self._is_over:
            self._changed.clear()
            await self._changed.wait()
        if not self._input:
            return None
        data = bytes(self._input)
        self._input.clear()
        self._parse()
        return data

    async def send(self, data: bytes) -> None:
        """Returns when the client's connection has room for more. Raises TimeoutError for one that does not read."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)
            self._flush()
            await self._flow.wait()

    async def end(self, code: int, reason: str, error: str | None) -> None:
        """Tells the client why, and ends the connection."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(json.dumps({"ended": reason, "error": error}).encode())
            self._protocol.send_close(code, reason.encode()[:_MAX_REASON_BYTES].decode("utf-8", "ignore"))
            self._flush()
            try:
                async with asyncio.timeout(CLOSE_S):
                    while not self._is_over:
                        self._changed.clear()
                        await self._changed.wait()
            except TimeoutError:
                log.info("websocket_not_closed_by_client")
        self.drop()

    def drop(self) -> None:
        """Ends the connection, and cuts it if the client does not read what it was sent. Idempotent."""
        self._is_over = True
        if self._is_lost:
            return
        self._channel.loseConnection()
        self._stop_timers()
        self._after(CLOSE_S, "cut", self._channel.abort)

    def pauseProducing(self) -> None:  # noqa: N802  # Twisted's name
        """The client does not read what it was sent."""
        self._flow.pauseProducing()
        self._channel.pause_reading()
        if "stall" not in self._timers:  # Twisted calls this again for each write
            self._after(STALL_S, "stall", self._channel.abort)

    def resumeProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._stop_timer("stall")
        self._flow.resumeProducing()
        self._parse()

    def stopProducing(self) -> None:  # noqa: N802  # Twisted's name
        self._flow.stopProducing()

    def _received(self, data: bytes) -> None:
        self._unparsed += data
        self._parse()

    def _parse(self) -> None:
        """Takes what has arrived, as far as it may be taken now, and reads on if that is all."""
        while self._unparsed and self._takes_more():
            part = bytes(self._unparsed[:_PART_BYTES])
            del self._unparsed[:_PART_BYTES]
            self._take(part)
        if self._takes_more():
            self._channel.resume_reading()
        else:
            self._channel.pause_reading()
        self._is_over = self._is_over or self._protocol.state is not State.OPEN
        self._changed.set()

    def _takes_more(self) -> bool:
        wait_s = self._paid_until_s - self._loop.time()
        if wait_s > 0:
            self._after(wait_s, "frames", self._parse)
        return wait_s <= 0 and self._flow.is_open and len(self._input) < MAX_WAITING_BYTES

    def _take(self, data: bytes) -> None:
        try:
            self._protocol.receive_data(data)
        except WebSocketException as error:  # the protocol has answered it
            log.info("websocket_misused", reason=str(error))
        frames = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
        for frame in frames:
            if frame.opcode in _INPUT:
                self._input += frame.data
        since_s = max(self._paid_until_s, self._loop.time() - BURST_S)
        self._paid_until_s = since_s + len(frames) / FRAMES_PER_S
        self._flush()

    def _lost(self) -> None:
        self._is_over = self._is_lost = True
        self._stop_timers()
        self._flow.resumeProducing()
        self._changed.set()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and self._channel.transport is not None:
                self._channel.transport.write(data)

    def _ping(self) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()
        self._after(PING_EVERY_S, "ping", self._ping)

    def _after(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        self._stop_timer(name)
        self._timers[name] = self._loop.call_later(seconds, work)

    def _stop_timer(self, name: str) -> None:
        if name in self._timers:
            self._timers.pop(name).cancel()

    def _stop_timers(self) -> None:
        for name in tuple(self._timers):
            self._stop_timer(name)


def _subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Viewers of VNC and SPICE ask for `binary`, and a browser ends a connection that does not grant what was asked."""
    return _BINARY if _BINARY in offered else None


def accept(request: Any) -> ServerProtocol | Reply:
    """Returns a protocol that has answered the handshake, or the answer to a request that is none."""
    headers = Headers()
    for name, values in request.requestHeaders.getAllRawHeaders():
        for value in values:
            headers[name.decode("latin-1")] = value.decode("latin-1")
    protocol = ServerProtocol(max_size=MAX_MESSAGE_BYTES, select_subprotocol=_subprotocol)
    asked = Request(request.uri.decode("latin-1"), headers)
    protocol.receive_data(asked.serialize())  # it parses the request itself, and then waits for messages
    protocol.events_received()
    response = protocol.accept(asked)
    if response.status_code != 101:
        return errors.reply_for(InvalidRequest("This is a WebSocket: connect to it with one."))
    response.headers["X-Request-Id"] = getattr(request, "request_id", "")
    protocol.send_response(response)
    return protocol


async def serve(request: Any, protocol: ServerProtocol, upgrade: Upgrade) -> bytes:
    """Runs the handler on the connection. Ends by being cancelled, as for any client that disconnects."""
    socket = WebSocket(request, protocol)
    try:
        await socket.end(_NORMAL, await upgrade(socket, _always), None)
    except InnkeeperError as error:
        await socket.end(_REFUSED, error.message, error.code)
    except TimeoutError:
        log.warning("websocket_cut", reason="The client reads too slowly.")
    except Exception:  # the boundary, as for every request
        log.exception("websocket_failed")
        await socket.end(_FAILED, "The region failed unexpectedly; its log says why.", "internal_error")
    finally:
        socket.drop()
    await asyncio.sleep(DISCONNECT_S)
    return b""


async def _always() -> bool:
    return True
