"""A link for asyncio code: calls, streams and events in both directions over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

import structlog

from common.errors import InnkeeperError, InvalidRequest, LinkLost, PeerSilent, ResponseRejected
from common.rpc.call_context import CALL_ID, CallContext, current_context
from common.rpc.commands.command import Command
from common.rpc.frames import Unsendable
from common.rpc.handler_tasks import HandlerTasks
from common.rpc.handlers import EventHandler, Side
from common.rpc.peers import Peer
from common.rpc.response_checks import checked_error, parsed_reply
from common.rpc.session import Session
from common.rpc.session_events import (
    CallDone,
    CallFailed,
    CreditArrived,
    Ended,
    EventArrived,
    HandlerCancelled,
    HandlerRequested,
    ItemArrived,
    Opened,
    Output,
)
from common.serialization import to_dict
from common.trust.certificates import Role

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Q = TypeVar("Q")
R = TypeVar("R")

SILENT_CLOSE_S = 0.5  # for the reason to reach a peer that only cannot send
STREAM_WINDOW = 8  # items in transit; with batches of 25 guests, a thousand take a few round trips
MAX_STREAM_BYTES = 32 * 1024 * 1024  # all items of one response; a host with 10,000 guests needs a quarter


class Carrier(Protocol):
    """Moves frames to the peer: a connection, or in tests the peer's link."""

    def send(self, frames: Sequence[bytes]) -> None:
        """Queues the frames; does not wait."""

    def lose(self) -> None:
        """Ends the connection after the queued frames are sent. Then calls `Link.carrier_lost`."""

    def abort(self) -> None:
        """Cuts the connection at once; queued frames are lost. Then calls `Link.carrier_lost`."""

    @property
    def ports(self) -> tuple[int, int]:
        """The TCP ports of this end and of the peer."""

    @property
    def remote_host(self) -> str:
        """The peer's address, of a connection that was accepted; otherwise empty."""


class Link:
    """Created by `connect` or a listener. Not thread-safe: all methods are for the event loop's thread."""

    def __init__(self, *, side: Side, peer: Peer, carrier: Carrier) -> None:
        self._loop = asyncio.get_running_loop()
        self.carrier = carrier
        self._session = Session(
            hello=side.hello,
            methods={command.name: command.streams for command in side.handlers},
            limits=side.limits,
            now=self._loop.time(),
        )
        self._logs_calls = side.role in {Role.REGION, Role.RACK}  # no daemon: the log of a program is its own
        self._observer = side.observer
        self._handler_tasks = HandlerTasks(side.handlers, self._session, self._pump, side.observer)
        self._calls: dict[int, Callable[[Output], None]] = {}
        self._event_handlers: list[EventHandler] = [side.on_event] if side.on_event else []
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._gone = asyncio.Event()
        self.peer = peer
        self.capabilities: frozenset[str] = frozenset()  # of the peer, known once `opened`
        self.versions: tuple[int, int] | None = None  # of the protocol that the peer supports, known once `opened`
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[InnkeeperError] = self._loop.create_future()  # the reason, once the link has ended

    def __repr__(self) -> str:
        return f"<Link to {self.peer}>"

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    @property
    def is_idle(self) -> bool:
        """True while no call runs in either direction."""
        return not self._session.calls_out and not self._session.calls_in

    async def call(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> R:
        """Returns the response of the peer. Cancelling the caller cancels the handler there.

        Raises what the handler raised; DeadlineExceeded or LinkLost when the outcome is unknown; ResponseRejected for a
        response of the wrong type; InvalidRequest for a request that does not fit into a frame; Unsupported when the
        other end does not have the command.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle(output: Output) -> None:
            if future.done():
                return
            if isinstance(output, CallFailed):
                future.set_exception(checked_error(self.peer, command, output.error))
            elif isinstance(output, CallDone):
                future.set_result(output.body)

        began_at = self._loop.time()
        with self._observer.sent(command.name, self.peer.name) as traceparent:
            context = current_context(traceparent)
            call_id = self._start_call(command, request, deadline_s, 0, context)
            self._calls[call_id] = settle
            self._pump()
            try:
                body = await future
            finally:
                self._end_call(call_id)
                self._log_end(command, context, future, began_at)
                if future.done() and not future.cancelled():
                    future.exception()  # retrieved, so that asyncio does not log it, also after a cancellation
            return parsed_reply(self.peer, command, body)

    async def stream(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> AsyncGenerator[R, None]:
        """Yields the items of the response as they arrive; sends the request when the first is awaited.

        Raises what `call` raises, and ResponseRejected when the items exceed MAX_STREAM_BYTES in total, unless the
        command is endless. Closing the generator cancels the handler: use `contextlib.aclosing` where the loop can be
        left early.
        """
        with self._observer.sent(command.name, self.peer.name) as traceparent:
            async with aclosing(self._items(command, request, deadline_s, traceparent)) as items:
                async for item in items:
                    yield item

    async def _items(
        self, command: Command[Q, R], request: Q, deadline_s: float, traceparent: str
    ) -> AsyncGenerator[R, None]:
        inbox: asyncio.Queue[Output] = asyncio.Queue()
        received_bytes = 0
        call_id = self._start_call(command, request, deadline_s, STREAM_WINDOW, current_context(traceparent))
        self._calls[call_id] = inbox.put_nowait
        self._pump()
        try:
            while not isinstance(output := await inbox.get(), CallDone):
                if isinstance(output, CallFailed):
                    raise checked_error(self.peer, command, output.error)
                if not isinstance(output, ItemArrived):
                    continue
                received_bytes += output.size_bytes
                if received_bytes > MAX_STREAM_BYTES and not command.endless:
                    raise ResponseRejected(
                        f"{self.peer} responded to {command.name} with more than {MAX_STREAM_BYTES} bytes"
                    )
                yield parsed_reply(self.peer, command, output.body)
                self._session.consumed(call_id)
                self._pump()
        finally:
            self._end_call(call_id)

    def send_event(self, name: str, body: Any) -> None:
        """Sends an event, which has no response; `body` is its value, such as HostEvent.

        Raises LinkLost and InvalidRequest.
        """
        try:
            self._session.event(name, to_dict(body))
        except Unsendable as error:
            raise InvalidRequest(f"event {name}: the body {error}") from error
        self._pump()

    def on_event(self, handler: EventHandler) -> None:
        """Calls `handler(link, name, body)` for each event from now on. `from_dict` turns `body` into a value."""
        self._event_handlers.append(handler)

    def close(self, reason: str) -> None:
        """Ends the link; both ends learn the reason. Does not wait, see `closed`. Idempotent."""
        self.reject(LinkLost(reason))

    def reject(self, error: InnkeeperError) -> None:
        """Ends the link with an error. NotAllowed, NotTrusted and VersionMismatch reach the peer as such."""
        self._session.close(error)
        self._pump()

    @property
    def ports(self) -> tuple[int, int]:
        """The TCP ports of this end and of the peer, which name the connection on both ends."""
        return self.carrier.ports

    @property
    def remote_host(self) -> str:
        """The peer's address, of a link that was accepted; otherwise empty."""
        return self.carrier.remote_host

    def abort(self) -> None:
        """Cuts the connection at once, without notifying the peer."""
        self.carrier.abort()

    async def closed(self) -> InnkeeperError:
        """Waits until the link and its handlers have ended. Returns the reason."""
        await self._gone.wait()
        await self._handler_tasks.ended()
        return self.lost.result()

    # For the carrier --------------------------------------------------------------------------------------------

    def on_activity(self) -> None:
        """Notes that bytes arrived."""
        self._session.on_activity(self._loop.time())

    def frame_arrived(self, data: bytes) -> None:
        self._session.receive(data, self._loop.time())
        self._pump()

    def protocol_error(self, what: str) -> None:
        self._session.protocol_error(what)
        self._pump()

    def pause(self, *, full: bool) -> None:
        """Pauses outgoing streams while the carrier's buffer is full."""
        self._handler_tasks.pause(full=full)

    def start(self) -> None:
        """Sends the hello."""
        self._pump()

    def carrier_lost(self, error: InnkeeperError) -> None:
        self._session.end(error)
        self._pump()
        self._gone.set()

    # Calls --------------------------------------------------------------------------------------------------------

    def _start_call(
        self, command: Command[Q, R], request: Q, deadline_s: float, window: int, context: CallContext
    ) -> int:
        try:
            return self._session.call(
                self._loop.time(), command.name, to_dict(request), deadline_s=deadline_s, window=window, context=context
            )
        except Unsendable as error:
            raise InvalidRequest(f"{command.name}: the request {error}") from error

    def _end_call(self, call_id: int) -> None:
        self._calls.pop(call_id, None)
        self._session.cancel(call_id)
        self._pump()

    def _log_end(
        self, command: Command[Q, R], context: CallContext, future: asyncio.Future[Any], began_at: float
    ) -> None:
        if not self._logs_calls:
            return
        failure = future.exception() if future.done() and not future.cancelled() else None
        log.debug(
            "call_ended",
            command=command.name,
            peer=str(self.peer),
            call_id=context[CALL_ID],
            duration_ms=round((self._loop.time() - began_at) * 1000, 1),
            code=failure.code if isinstance(failure, InnkeeperError) else None,
            cancelled=future.cancelled() or not future.done(),
        )

    # The session --------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Sends queued frames and acts on events until there are none."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while any(drained := self._session.drain()):
                frames, outputs = drained
                if frames:
                    self.carrier.send(frames)
                for output in outputs:
                    self._act(output)
        finally:
            self._pumping = False
        self._schedule()

    def _act(self, output: Output) -> None:
        match output:
            case ItemArrived(call_id=call_id) | CallDone(call_id=call_id) | CallFailed(call_id=call_id):
                if receive := self._calls.get(call_id):
                    receive(output)
            case HandlerRequested():
                self._handler_tasks.start(output, self, self.peer)
            case HandlerCancelled(call_id=call_id):
                self._handler_tasks.cancel(call_id)
            case CreditArrived(call_id=call_id):
                self._handler_tasks.on_credit(call_id)
            case EventArrived(name=name, body=body):
                self._dispatch_event(name, body)
            case Opened(peer=hello):
                self.capabilities = frozenset(hello.capabilities)
                self.versions = (hello.lowest_version, hello.highest_version)
                if self.peer.role is Role.ANONYMOUS:
                    self.peer = Peer(role=Role.ANONYMOUS, name=hello.name)
                self.opened.set_result(None)
            case Ended(error=error):
                self._end(error)

    def _end(self, error: InnkeeperError) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.lost.set_result(error)
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # retrieved, so that asyncio does not log it: a listener may not wait for it
        self.carrier.lose()
        if isinstance(error, PeerSilent):  # the carrier would wait for seconds until the peer has read everything
            self._loop.call_later(SILENT_CLOSE_S, self.carrier.abort)

    def _dispatch_event(self, name: str, body: Any) -> None:
        for handler in self._event_handlers:
            try:
                handler(self, name, body)
            except Exception:  # a bug in one event's handler must not end the link
                log.exception("event_handler_failed", event_name=name, peer=str(self.peer))

    def _schedule(self) -> None:
        at = self._session.next_tick_at()
        if at is None or (self._timer is not None and self._timer.when() <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._session.tick(self._loop.time())
        self._pump()
