"""A live link for asyncio code: calls, streams and events both ways, over a Session and whatever carries its frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar, cast

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from common.certificates import Role
from common.errors import (
    AnswerRefused,
    BadSettings,
    Cancelled,
    DatabaseUnavailable,
    IdempotencyMismatch,
    InnkeeperError,
    InternalError,
    InvalidRequest,
    LinkLost,
    NotAuthenticated,
    OperationPending,
    TokenRefused,
)
from common.rpc.commands import Command
from common.rpc.frames import Unsendable, clipped
from common.rpc.handlers import EventHandler, Side, told_of
from common.rpc.outputs import (
    CallDone,
    CallFailed,
    CreditArrived,
    Ended,
    EventArrived,
    HandlerUnwanted,
    HandlerWanted,
    ItemArrived,
    Opened,
    Output,
)
from common.rpc.peers import Peer
from common.rpc.session import Session
from common.wire import from_plain, to_plain

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

Q = TypeVar("Q")
R = TypeVar("R")

STREAM_WINDOW = 8  # items under way; with batches of 25 guests, a few round trips for a thousand
MAX_STREAM_BYTES = 32 * 1024 * 1024  # of all items of one answer; a host with 10,000 guests takes a quarter of it

# A rack has no database, no accounts and no operations. What is done about these errors of our own (to leave an
# operation to its lease, say) must not be done because a rack says so.
_NOT_A_RACKS = (
    BadSettings, DatabaseUnavailable, IdempotencyMismatch, NotAuthenticated, OperationPending, TokenRefused,
)  # fmt: skip


class Carrier(Protocol):
    """What moves the frames: a connection, or in tests the other end's link."""

    def send(self, frames: Sequence[bytes]) -> None:
        """Does not wait."""

    def lose(self) -> None:
        """Send what was given, then end. `Link.carrier_lost` follows."""


class Link:
    """Made by `connect` or a listener. All methods are for the event loop's thread."""

    def __init__(self, *, side: Side, peer: Peer, carrier: Carrier) -> None:
        self._loop = asyncio.get_running_loop()
        self._side = side
        self._carrier = carrier
        self._by_name = {command.name: (command, handler) for command, handler in side.handlers.items()}
        self._session = Session(
            hello=side.hello,
            methods={command.name: command.streams for command in side.handlers},
            limits=side.limits,
            now=self._loop.time(),
        )
        self._ours: dict[int, Callable[[Output], None]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._may_send: dict[int, asyncio.Event] = {}
        self._choked = False
        self._event_handlers: list[EventHandler] = [side.on_event] if side.on_event else []
        self._timer: asyncio.TimerHandle | None = None
        self._pumping = False
        self._gone = asyncio.Event()
        self.peer = peer
        self.capabilities: frozenset[str] = frozenset()  # of the other end, known once `opened`
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[InnkeeperError] = self._loop.create_future()  # why it ended, when it has

    def __repr__(self) -> str:
        return f"<Link to {self.peer}>"

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    @property
    def is_quiet(self) -> bool:
        """No call is under way, ours or theirs."""
        return not self._session.calls_out and not self._session.calls_in

    async def call(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> R:
        """The other end's answer. Cancelling the caller cancels the handler there.

        Raises what the handler raised; DeadlineExceeded or LinkLost when the outcome is unknown; AnswerRefused for what
        is no answer to this command; InvalidRequest when the request fits no frame; Unsupported when the other end does
        not know the command.
        """
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle(output: Output) -> None:
            if future.done():
                return
            if isinstance(output, CallFailed):
                future.set_exception(self._believable(command, output.error))
            elif isinstance(output, CallDone):
                future.set_result(output.body)

        call_id = self._ask(command, request, deadline_s, 0)
        self._ours[call_id] = settle
        self._pump()
        try:
            plain = await future
        finally:
            self._forget(call_id)
            if future.done() and not future.cancelled():
                future.exception()  # seen, also when the caller was cancelled at the same moment
        return self._answer(command, plain)

    async def stream(self, command: Command[Q, R], request: Q, *, deadline_s: float) -> AsyncGenerator[R, None]:
        """The other end's items as they come; asked for when the first is wanted. Raises what `call` does.

        AnswerRefused too when they are more than `MAX_STREAM_BYTES` together: what never ends is not listened to.
        Closing it early cancels the handler there: use `contextlib.aclosing` when leaving the loop by `break`.
        """
        inbox: asyncio.Queue[Output] = asyncio.Queue()
        took_bytes = 0
        call_id = self._ask(command, request, deadline_s, STREAM_WINDOW)
        self._ours[call_id] = inbox.put_nowait
        self._pump()
        try:
            while True:
                output = await inbox.get()
                if isinstance(output, ItemArrived):
                    took_bytes += output.size_bytes
                    if took_bytes > MAX_STREAM_BYTES:
                        raise AnswerRefused(
                            f"{self.peer} answered {command.name} with more than {MAX_STREAM_BYTES} bytes"
                        )
                    yield self._answer(command, output.body)
                    self._session.consumed(call_id)
                    self._pump()
                elif isinstance(output, CallFailed):
                    raise self._believable(command, output.error)
                else:
                    return
        finally:
            self._forget(call_id)

    def send_event(self, name: str, body: Any) -> None:
        """Tell without waiting for an answer; `body` is a value of ours. Raises LinkLost, InvalidRequest."""
        try:
            self._session.event(name, to_plain(body))
        except Unsendable as error:
            raise InvalidRequest(f"event {name}: the body {error}") from error
        self._pump()

    def on_event(self, handler: EventHandler) -> None:
        """Call `handler(link, name, plain_body)` for each event from now on; `from_plain` makes the value."""
        self._event_handlers.append(handler)

    def close(self, reason: str) -> None:
        """End the link; both ends are told why. Harmless to repeat. `closed` waits until all is gone."""
        self.refuse(LinkLost(reason))

    def refuse(self, error: InnkeeperError) -> None:
        """End the link with an error. NotAllowed, NotTrusted, VersionMismatch reach the other end as they are."""
        self._session.close(error)
        self._pump()

    async def closed(self) -> InnkeeperError:
        """Why the link ended, once it has and its handlers have stopped."""
        await self._gone.wait()
        current = asyncio.current_task()
        if others := [task for task in self._tasks.values() if task is not current]:
            await asyncio.wait(others)
        return self.lost.result()

    # For the carrier --------------------------------------------------------------------------------------------

    def heard(self) -> None:
        self._session.heard(self._loop.time())

    def frame_arrived(self, data: bytes) -> None:
        self._session.receive(data, self._loop.time())
        self._pump()

    def broke_protocol(self, what: str) -> None:
        self._session.break_off(what)
        self._pump()

    def choke(self, *, full: bool) -> None:
        """The carrier's buffer is full, or no longer: streams wait meanwhile."""
        self._choked = full
        if not full:
            for event in self._may_send.values():
                event.set()

    def start(self) -> None:
        """Say hello."""
        self._pump()

    def carrier_lost(self, error: InnkeeperError) -> None:
        self._session.end(error)
        self._pump()
        self._gone.set()

    # ------------------------------------------------------------------------------------------------------------

    def _ask(self, command: Command[Q, R], request: Q, deadline_s: float, window: int) -> int:
        try:
            return self._session.call(
                self._loop.time(), command.name, to_plain(request), deadline_s=deadline_s, window=window
            )
        except Unsendable as error:
            raise InvalidRequest(f"{command.name}: the request {error}") from error

    def _answer(self, command: Command[Q, R], plain: Any) -> R:
        try:
            return from_plain(plain, command.reply)
        except InvalidRequest as error:
            raise AnswerRefused(
                f"{self.peer} answered {command.name} with what is no answer: {clipped(str(error))}"
            ) from error

    def _believable(self, command: Command[Q, R], error: InnkeeperError) -> InnkeeperError:
        if self.peer.role is Role.RACK and isinstance(error, _NOT_A_RACKS):
            return AnswerRefused(
                f"{self.peer} answered {command.name} with {error.code}, which no rack can know: {error.message}"
            )
        return error

    def _forget(self, call_id: int) -> None:
        self._ours.pop(call_id, None)
        self._session.cancel(call_id)
        self._pump()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while True:
                frames, outputs = self._session.drain()
                if frames:
                    self._carrier.send(frames)
                for output in outputs:
                    self._act(output)
                if not frames and not outputs:
                    break
        finally:
            self._pumping = False
        self._schedule()

    def _act(self, output: Output) -> None:
        match output:
            case ItemArrived(call_id=call_id) | CallDone(call_id=call_id) | CallFailed(call_id=call_id):
                if listener := self._ours.get(call_id):
                    listener(output)
            case HandlerWanted():
                self._start_handler(output)
            case HandlerUnwanted(call_id=call_id):
                self._tasks[call_id].cancel()
            case CreditArrived(call_id=call_id):
                if event := self._may_send.get(call_id):
                    event.set()
            case EventArrived(name=name, body=body):
                self._tell_event(name, body)
            case Opened(peer=hello):
                self.capabilities = frozenset(hello.capabilities)
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
            self.opened.exception()  # seen: a listener may have nobody waiting for it
        self._carrier.lose()

    def _tell_event(self, name: str, body: Any) -> None:
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

    # Answering --------------------------------------------------------------------------------------------------

    def _start_handler(self, wanted: HandlerWanted) -> None:
        task = self._loop.create_task(self._serve(wanted), name=f"{wanted.method} for {self.peer}")
        self._tasks[wanted.call_id] = task

        def ended(_: asyncio.Task[None]) -> None:
            # A task cancelled before its first step never ran a line: the answer that is due is given here.
            del self._tasks[wanted.call_id]
            self._session.fail(wanted.call_id, Cancelled(f"{wanted.method} was stopped"))
            self._pump()

        task.add_done_callback(ended)

    async def _serve(self, wanted: HandlerWanted) -> None:
        clear_contextvars()
        bind_contextvars(command=wanted.method, peer=str(self.peer))
        command, handler = self._by_name[wanted.method]
        try:
            made = handler(self, from_plain(wanted.body, command.request))
            if command.streams:
                await self._send_items(wanted.call_id, cast("AsyncGenerator[Any, None]", made))
                reply = None
            else:
                reply = to_plain(await cast("Awaitable[Any]", made))
        except Unsendable as error:
            self._session.fail(wanted.call_id, InternalError(f"an item of {wanted.method} {error}"))
        except Exception as error:  # noqa: BLE001  # a handler's bug fails its call, not the link
            self._session.fail(wanted.call_id, told_of(error, wanted.method))
        else:
            self._session.done(wanted.call_id, reply)
        self._pump()

    async def _send_items(self, call_id: int, made: AsyncGenerator[Any, None]) -> None:
        may_send = self._may_send[call_id] = asyncio.Event()
        try:
            async with aclosing(made) as items:
                async for item in items:
                    while self._choked or not self._session.credit(call_id):
                        may_send.clear()
                        await may_send.wait()
                    self._session.item(call_id, to_plain(item))
                    self._pump()
                    await asyncio.sleep(0)  # other calls get their turn between two batches
        finally:
            del self._may_send[call_id]
