"""The calling half of a session: calls of this end, each ended by exactly one frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from attrs import define, evolve

from common.errors import Busy, DeadlineExceeded, InnkeeperError, LinkLost, rebuild
from common.rpc.deadlines import Deadlines
from common.rpc.frames import (
    MAX_CREDIT,
    MAX_DEADLINE_MS,
    Call,
    Cancel,
    Credit,
    Done,
    Error,
    Frame,
    Item,
    ProtocolError,
    encode,
)
from common.rpc.session_events import CallDone, CallFailed, ItemArrived, Output

MAX_WAITING_CALLS = 4096


class _State(Enum):
    WAITING = auto()  # the peer runs its maximum of calls
    SENT = auto()
    ABANDONED = auto()  # ended here; the peer has not confirmed that it stopped


@define
class _OutgoingCall:
    call: Call
    deadline_at: float
    state: _State = _State.WAITING
    credit: int = 0
    consumed: int = 0


class Outgoing:
    """`send` queues a frame and may raise Unsendable; `emit` queues an event."""

    def __init__(
        self, send: Callable[[Frame], None], emit: Callable[[Output], None], deadlines: Deadlines[tuple[str, int]]
    ) -> None:
        self._send = send
        self._emit = emit
        self._deadlines = deadlines
        self._calls: dict[int, _OutgoingCall] = {}
        self._waiting: deque[int] = deque()
        self._at_other_end = 0
        self._last_id = 0
        self.max_calls = 0  # from the hello of the peer

    def __len__(self) -> int:
        return len(self._calls)

    def start(
        self, now: float, method: str, body: Any, deadline_s: float, window: int, context: Mapping[str, str | int]
    ) -> int:
        """Starts a call and returns its id. Raises Unsendable or Busy, with nothing changed."""
        if len(self._waiting) >= MAX_WAITING_CALLS:
            raise Busy(f"{len(self._waiting)} calls are already waiting for the peer", waiting=len(self._waiting))
        window = min(window, MAX_CREDIT)
        call = Call(
            id=self._last_id + 1, method=method, left_ms=MAX_DEADLINE_MS, credit=window, body=body, context=context
        )
        outgoing = _OutgoingCall(call=call, deadline_at=now + deadline_s, credit=window)
        if self._waiting or self._at_other_end >= self.max_calls:
            encode(call)  # rejects a call that cannot be sent now instead of later
            self._waiting.append(call.id)
        else:
            self._send_call(outgoing, now)
        self._last_id = call.id
        self._calls[call.id] = outgoing
        self._deadlines.set(("outgoing", call.id), outgoing.deadline_at)
        return call.id

    def cancel(self, call_id: int) -> None:
        """Ends the call here and cancels it at the peer. Idempotent."""
        outgoing = self._calls.get(call_id)
        if outgoing is None or outgoing.state is _State.ABANDONED:
            return
        self._deadlines.remove(("outgoing", call_id))
        if outgoing.state is _State.WAITING:
            del self._calls[call_id]
            self._waiting.remove(call_id)
            return
        outgoing.state = _State.ABANDONED
        self._send(Cancel(id=call_id))

    def expire(self, call_id: int) -> None:
        outgoing = self._calls[call_id]
        self.cancel(call_id)
        method = outgoing.call.method
        error = DeadlineExceeded(f"{method}: no response within its deadline", method=method)
        self._emit(CallFailed(call_id=call_id, error=error))

    def consumed(self, call_id: int) -> None:
        """Notes one processed item. Credit is sent for half a window at a time."""
        outgoing = self._calls.get(call_id)
        if outgoing is None or outgoing.state is not _State.SENT:
            return
        outgoing.consumed += 1
        if outgoing.consumed * 2 >= outgoing.call.credit:
            self._send(Credit(id=call_id, amount=outgoing.consumed))
            outgoing.credit += outgoing.consumed
            outgoing.consumed = 0

    def on_item(self, frame: Item, size_bytes: int) -> None:
        outgoing = self._known(frame.id, "item")
        if outgoing.credit <= 0:
            raise ProtocolError(f"an item for call {frame.id} beyond its credit")
        outgoing.credit -= 1
        if outgoing.state is _State.SENT:
            self._emit(ItemArrived(call_id=frame.id, body=frame.body, size_bytes=size_bytes))

    def on_end(self, frame: Done | Error, now: float) -> None:
        outgoing = self._known(frame.id, "last")
        del self._calls[frame.id]
        self._deadlines.remove(("outgoing", frame.id))
        self._at_other_end -= 1
        if outgoing.state is _State.SENT:
            self._emit(_ending(frame))
        self._send_waiting(now)

    def end_all(self, reason: str) -> None:
        for call_id, outgoing in self._calls.items():
            self._deadlines.remove(("outgoing", call_id))
            if outgoing.state is not _State.ABANDONED:
                self._emit(CallFailed(call_id=call_id, error=LinkLost(reason)))
        self._calls.clear()
        self._waiting.clear()

    def _send_call(self, outgoing: _OutgoingCall, now: float) -> None:
        left_ms = min(MAX_DEADLINE_MS, max(0, int((outgoing.deadline_at - now) * 1000)))
        call = outgoing.call
        self._send(evolve(call, left_ms=left_ms))
        outgoing.state = _State.SENT
        self._at_other_end += 1

    def _send_waiting(self, now: float) -> None:
        while self._waiting and self._at_other_end < self.max_calls:
            self._send_call(self._calls[self._waiting.popleft()], now)

    def _known(self, call_id: int, what: str) -> _OutgoingCall:
        outgoing = self._calls.get(call_id)
        if outgoing is None or outgoing.state is _State.WAITING:
            raise ProtocolError(f"a {what} frame for call {call_id}, which was never sent or has ended")
        return outgoing


def _ending(frame: Done | Error) -> Output:
    if isinstance(frame, Done):
        return CallDone(call_id=frame.id, body=frame.body)
    return CallFailed(call_id=frame.id, error=error_of_frame(frame))


def error_of_frame(frame: Error) -> InnkeeperError:
    """Returns the error that the peer sent."""
    return rebuild(frame.code, frame.message, _usable(frame.details))


def _usable(details: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key not in {"self", "message"}}
