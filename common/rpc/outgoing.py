"""The half of a session that asks: our calls, from the question to the one frame that ends each of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from attrs import define

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
from common.rpc.outputs import CallDone, CallFailed, ItemArrived, Output

MAX_WAITING_CALLS = 4096


class _State(Enum):
    WAITING = auto()  # the other end is working on as many calls as it takes
    SENT = auto()
    ABANDONED = auto()  # ended for us; the other end has yet to say that it stopped


@define
class _Asked:
    call: Call
    deadline_at: float
    state: _State = _State.WAITING
    credit: int = 0
    consumed: int = 0


class Outgoing:
    """`send` queues a frame (and raises Unsendable), `emit` an output."""

    def __init__(
        self, send: Callable[[Frame], None], emit: Callable[[Output], None], deadlines: Deadlines[tuple[str, int]]
    ) -> None:
        self._send = send
        self._emit = emit
        self._deadlines = deadlines
        self._calls: dict[int, _Asked] = {}
        self._waiting: deque[int] = deque()
        self._at_other_end = 0
        self._last_id = 0
        self.max_calls = 0  # the other end's hello says

    def __len__(self) -> int:
        return len(self._calls)

    def start(self, now: float, method: str, body: Any, deadline_s: float, window: int) -> int:
        """The new call's id. Raises Unsendable or Busy, with nothing changed."""
        if len(self._waiting) >= MAX_WAITING_CALLS:
            raise Busy(f"{len(self._waiting)} calls wait for the other end already", waiting=len(self._waiting))
        window = min(window, MAX_CREDIT)
        call = Call(id=self._last_id + 1, method=method, left_ms=MAX_DEADLINE_MS, credit=window, body=body)
        asked = _Asked(call=call, deadline_at=now + deadline_s, credit=window)
        if self._waiting or self._at_other_end >= self.max_calls:
            encode(call)  # a call that can never be sent is refused now, not when its turn comes
            self._waiting.append(call.id)
        else:
            self._ask(asked, now)
        self._last_id = call.id
        self._calls[call.id] = asked
        self._deadlines.set(("ours", call.id), asked.deadline_at)
        return call.id

    def cancel(self, call_id: int) -> None:
        """End it for us and tell the other end. Harmless when it has ended."""
        asked = self._calls.get(call_id)
        if asked is None or asked.state is _State.ABANDONED:
            return
        self._deadlines.forget(("ours", call_id))
        if asked.state is _State.WAITING:
            del self._calls[call_id]
            self._waiting.remove(call_id)
            return
        asked.state = _State.ABANDONED
        self._send(Cancel(id=call_id))

    def expire(self, call_id: int) -> None:
        asked = self._calls[call_id]
        self.cancel(call_id)
        method = asked.call.method
        error = DeadlineExceeded(f"{method}: no answer within the time given", method=method)
        self._emit(CallFailed(call_id=call_id, error=error))

    def consumed(self, call_id: int) -> None:
        """One item was used up; credit goes out for half a window at a time."""
        asked = self._calls.get(call_id)
        if asked is None or asked.state is not _State.SENT:
            return
        asked.consumed += 1
        if asked.consumed * 2 >= asked.call.credit:
            self._send(Credit(id=call_id, amount=asked.consumed))
            asked.credit += asked.consumed
            asked.consumed = 0

    def on_item(self, frame: Item, size_bytes: int) -> None:
        asked = self._known(frame.id, "item")
        if asked.credit <= 0:
            raise ProtocolError(f"an item for call {frame.id} beyond its credit")
        asked.credit -= 1
        if asked.state is _State.SENT:
            self._emit(ItemArrived(call_id=frame.id, body=frame.body, size_bytes=size_bytes))

    def on_end(self, frame: Done | Error, now: float) -> None:
        asked = self._known(frame.id, "last")
        del self._calls[frame.id]
        self._deadlines.forget(("ours", frame.id))
        self._at_other_end -= 1
        if asked.state is _State.SENT:
            self._emit(_ending(frame))
        self._ask_next(now)

    def end_all(self, why: str) -> None:
        for call_id, asked in self._calls.items():
            self._deadlines.forget(("ours", call_id))
            if asked.state is not _State.ABANDONED:
                self._emit(CallFailed(call_id=call_id, error=LinkLost(why)))
        self._calls.clear()
        self._waiting.clear()

    def _ask(self, asked: _Asked, now: float) -> None:
        left_ms = min(MAX_DEADLINE_MS, max(0, int((asked.deadline_at - now) * 1000)))
        call = asked.call
        self._send(Call(id=call.id, method=call.method, left_ms=left_ms, credit=call.credit, body=call.body))
        asked.state = _State.SENT
        self._at_other_end += 1

    def _ask_next(self, now: float) -> None:
        while self._waiting and self._at_other_end < self.max_calls:
            self._ask(self._calls[self._waiting.popleft()], now)

    def _known(self, call_id: int, what: str) -> _Asked:
        asked = self._calls.get(call_id)
        if asked is None or asked.state is _State.WAITING:
            raise ProtocolError(f"a {what} frame for call {call_id}, which was not asked or has ended")
        return asked


def _ending(frame: Done | Error) -> Output:
    if isinstance(frame, Done):
        return CallDone(call_id=frame.id, body=frame.body)
    return CallFailed(call_id=frame.id, error=told_error(frame))


def told_error(frame: Error) -> InnkeeperError:
    """The error that the other end tells of."""
    return rebuild(frame.code, frame.message, _usable(frame.details))


def _usable(details: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in details.items() if key not in {"self", "message"}}
