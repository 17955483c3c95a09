"""The serving half of a session: calls of the peer, each ended by exactly one frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

from common.errors import (
    Busy,
    Cancelled,
    DeadlineExceeded,
    InnkeeperError,
    InternalError,
    NotAllowed,
    Unsupported,
    UnsupportedByPeer,
)
from common.rpc.deadlines import Deadlines
from common.rpc.frames import (
    MAX_CREDIT,
    Call,
    Cancel,
    Credit,
    Done,
    Error,
    Frame,
    Item,
    ProtocolError,
    Unsendable,
    clipped,
)
from common.rpc.session_events import CreditArrived, HandlerCancelled, HandlerRequested, Output


@define
class _IncomingCall:
    method: str
    streams: bool
    credit: int
    size_bytes: int  # of the request's frame
    stopped: InnkeeperError | None = None  # sent to the peer instead of the handler's result


class Incoming:
    """`methods` maps each command to whether it streams. `max_total` limits the calls during the life of the link, and
    `max_bytes` the requests of all running calls together.
    """

    def __init__(
        self,
        send: Callable[[Frame], None],
        emit: Callable[[Output], None],
        deadlines: Deadlines[tuple[str, int]],
        *,
        methods: Mapping[str, bool],
        max_calls: int,
        max_total: int | None,
        max_bytes: int,
        max_deadline_s: float | None,
    ) -> None:
        self._send = send
        self._emit = emit
        self._deadlines = deadlines
        self._methods = methods
        self._max_calls = max_calls
        self._max_total = max_total
        self._max_bytes = max_bytes
        self._max_deadline_s = max_deadline_s
        self._calls: dict[int, _IncomingCall] = {}
        self._last_id = 0
        self._accepted = 0

    def __len__(self) -> int:
        return len(self._calls)

    def credit(self, call_id: int) -> int:
        """Returns how many items may be sent now; 0 for a call that has ended or must stop."""
        incoming = self._calls.get(call_id)
        return 0 if incoming is None or incoming.stopped else incoming.credit

    def on_call(self, frame: Call, size_bytes: int, now: float) -> None:
        if frame.id <= self._last_id:
            raise ProtocolError(f"call {frame.id} after call {self._last_id}")
        self._last_id = frame.id
        rejection = self._rejection(frame, size_bytes)
        if rejection is not None:
            self._send_error(frame.id, rejection)
            return
        self._accepted += 1
        left_s = frame.left_ms / 1000
        if self._max_deadline_s is not None:
            left_s = min(left_s, self._max_deadline_s)
        streams = frame.credit > 0
        self._calls[frame.id] = _IncomingCall(
            method=frame.method, streams=streams, credit=frame.credit, size_bytes=size_bytes
        )
        self._deadlines.set(("incoming", frame.id), now + left_s)
        self._emit(
            HandlerRequested(
                call_id=frame.id,
                method=frame.method,
                body=frame.body,
                left_s=left_s,
                streams=streams,
                context=frame.context,
            )
        )

    def on_cancel(self, frame: Cancel) -> None:
        if self._known(frame.id):
            self._stop(frame.id, Cancelled("cancelled by the caller"))

    def on_credit(self, frame: Credit) -> None:
        if not self._known(frame.id):
            return
        incoming = self._calls[frame.id]
        if not incoming.streams or incoming.credit + frame.amount > MAX_CREDIT:
            raise ProtocolError(f"{frame.amount} more credit for call {frame.id}, which has {incoming.credit}")
        incoming.credit += frame.amount
        if incoming.stopped is None:
            self._emit(CreditArrived(call_id=frame.id))

    def expire(self, call_id: int) -> None:
        method = self._calls[call_id].method
        self._stop(call_id, DeadlineExceeded(f"{method}: not finished within its deadline", method=method))

    def item(self, call_id: int, body: Any) -> None:
        """Sends the next item of a stream unless it must stop. Raises Unsendable; ValueError without credit."""
        incoming = self._calls.get(call_id)
        if incoming is None or incoming.stopped is not None:
            return
        if incoming.credit <= 0:
            raise ValueError(f"call {call_id} has no credit left")
        self._send(Item(id=call_id, body=body))
        incoming.credit -= 1

    def done(self, call_id: int, body: Any) -> None:
        """Sends the response; one that does not fit into a frame becomes an error. No effect after the link ended."""
        incoming = self._ended(call_id)
        if incoming is None:
            return
        if incoming.stopped is not None:
            self._send_error(call_id, incoming.stopped)
            return
        try:
            self._send(Done(id=call_id, body=body))
        except Unsendable as error:
            self._send_error(call_id, InternalError(f"the response of {incoming.method} {error}"))

    def fail(self, call_id: int, error: InnkeeperError) -> None:
        """Sends an error response. Does nothing if the link has ended."""
        incoming = self._ended(call_id)
        if incoming is not None:
            self._send_error(call_id, incoming.stopped or error)

    def end_all(self) -> None:
        for call_id, incoming in self._calls.items():
            self._deadlines.remove(("incoming", call_id))
            if incoming.stopped is None:
                self._emit(HandlerCancelled(call_id=call_id))
        self._calls.clear()

    def _rejection(self, frame: Call, size_bytes: int) -> InnkeeperError | None:
        if self._max_total is not None and self._accepted >= self._max_total:
            return NotAllowed(f"this link allows only {self._max_total} call(s)")
        if len(self._calls) >= self._max_calls:
            return Busy(f"{len(self._calls)} calls are running, the maximum of this end")
        running_bytes = sum(call.size_bytes for call in self._calls.values())
        if running_bytes + size_bytes > self._max_bytes:
            return Busy(f"the running calls hold {running_bytes} bytes; this end takes {self._max_bytes} at once")
        streams = self._methods.get(frame.method)
        if streams is None:
            return UnsupportedByPeer(f"the peer does not have the command {frame.method}", method=frame.method)
        if streams != (frame.credit > 0):
            return Unsupported(f"the command {frame.method} {'streams' if streams else 'does not stream'}")
        return None

    def _known(self, call_id: int) -> bool:
        if call_id > self._last_id:
            raise ProtocolError(f"a frame about call {call_id}, which was never started")
        return call_id in self._calls  # False: the frame crossed with the last frame of the call

    def _stop(self, call_id: int, reason: InnkeeperError) -> None:
        incoming = self._calls[call_id]
        if incoming.stopped is None:
            incoming.stopped = reason
            self._deadlines.remove(("incoming", call_id))
            self._emit(HandlerCancelled(call_id=call_id))

    def _ended(self, call_id: int) -> _IncomingCall | None:
        self._deadlines.remove(("incoming", call_id))
        return self._calls.pop(call_id, None)

    def _send_error(self, call_id: int, error: InnkeeperError) -> None:
        message = clipped(str(error))
        try:
            self._send(Error(id=call_id, code=error_code(error), message=message, details=error.details))
        except Unsendable:
            self._send(Error(id=call_id, code=error_code(error), message=message))


def error_code(error: InnkeeperError) -> str:
    """Returns the code to send: an error from a newer peer retains its code."""
    code = error.details.get("code")
    return code if type(error) is InnkeeperError and isinstance(code, str) else error.code
