"""The half of a session that answers: the other end's calls, each ended by exactly one frame."""

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
    NotKnownHere,
    Unsupported,
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
from common.rpc.outputs import CreditArrived, HandlerUnwanted, HandlerWanted, Output


@define
class _Working:
    method: str
    streams: bool
    credit: int
    stopped: InnkeeperError | None = None  # what the other end is told, whatever the handler comes to


class Incoming:
    """`methods` says of each method whether it streams. `max_total` limits all calls of the link's life."""

    def __init__(
        self,
        send: Callable[[Frame], None],
        emit: Callable[[Output], None],
        deadlines: Deadlines[tuple[str, int]],
        *,
        methods: Mapping[str, bool],
        max_calls: int,
        max_total: int | None,
        max_deadline_s: float | None,
    ) -> None:
        self._send = send
        self._emit = emit
        self._deadlines = deadlines
        self._methods = methods
        self._max_calls = max_calls
        self._max_total = max_total
        self._max_deadline_s = max_deadline_s
        self._work: dict[int, _Working] = {}
        self._last_id = 0
        self._taken = 0

    def __len__(self) -> int:
        return len(self._work)

    def credit(self, call_id: int) -> int:
        """How many items may be sent now; 0 for a call that ended or is to stop."""
        work = self._work.get(call_id)
        return 0 if work is None or work.stopped else work.credit

    def on_call(self, frame: Call, now: float) -> None:
        if frame.id <= self._last_id:
            raise ProtocolError(f"call {frame.id} after call {self._last_id}")
        self._last_id = frame.id
        refusal = self._refusal(frame)
        if refusal is not None:
            self._tell(frame.id, refusal)
            return
        self._taken += 1
        left_s = frame.left_ms / 1000
        if self._max_deadline_s is not None:
            left_s = min(left_s, self._max_deadline_s)
        streams = frame.credit > 0
        self._work[frame.id] = _Working(method=frame.method, streams=streams, credit=frame.credit)
        self._deadlines.set(("theirs", frame.id), now + left_s)
        self._emit(
            HandlerWanted(call_id=frame.id, method=frame.method, body=frame.body, left_s=left_s, streams=streams)
        )

    def on_cancel(self, frame: Cancel) -> None:
        if self._known(frame.id):
            self._stop(frame.id, Cancelled("cancelled by the caller"))

    def on_credit(self, frame: Credit) -> None:
        if not self._known(frame.id):
            return
        work = self._work[frame.id]
        if not work.streams or work.credit + frame.amount > MAX_CREDIT:
            raise ProtocolError(f"{frame.amount} more credit for call {frame.id}, which has {work.credit}")
        work.credit += frame.amount
        if work.stopped is None:
            self._emit(CreditArrived(call_id=frame.id))

    def expire(self, call_id: int) -> None:
        method = self._work[call_id].method
        self._stop(call_id, DeadlineExceeded(f"{method}: not done within the time given", method=method))

    def item(self, call_id: int, body: Any) -> None:
        """Send the next item of a stream; nothing happens when it was told to stop. Raises Unsendable.

        Raises ValueError without credit: asking `credit` first is the caller's duty.
        """
        work = self._work.get(call_id)
        if work is None or work.stopped is not None:
            return
        if work.credit <= 0:
            raise ValueError(f"call {call_id} has no credit left")
        self._send(Item(id=call_id, body=body))
        work.credit -= 1

    def done(self, call_id: int, body: Any) -> None:
        """Answer. Harmless when the link has ended; an answer that fits no frame becomes an error."""
        work = self._ended(call_id)
        if work is None:
            return
        if work.stopped is not None:
            self._tell(call_id, work.stopped)
            return
        try:
            self._send(Done(id=call_id, body=body))
        except Unsendable as error:
            self._tell(call_id, InternalError(f"the answer of {work.method} {error}"))

    def fail(self, call_id: int, error: InnkeeperError) -> None:
        """Answer with an error. Harmless when the link has ended."""
        work = self._ended(call_id)
        if work is not None:
            self._tell(call_id, work.stopped or error)

    def end_all(self) -> None:
        for call_id, work in self._work.items():
            self._deadlines.forget(("theirs", call_id))
            if work.stopped is None:
                self._emit(HandlerUnwanted(call_id=call_id))
        self._work.clear()

    def _refusal(self, frame: Call) -> InnkeeperError | None:
        if self._max_total is not None and self._taken >= self._max_total:
            return NotAllowed(f"this link is good for {self._max_total} call(s) only")
        if len(self._work) >= self._max_calls:
            return Busy(f"{len(self._work)} calls are worked on already, the most this end takes")
        streams = self._methods.get(frame.method)
        if streams is None:
            return NotKnownHere(f"the other end does not know the command {frame.method}", method=frame.method)
        if streams != (frame.credit > 0):
            return Unsupported(f"the command {frame.method} {'streams' if streams else 'does not stream'}")
        return None

    def _known(self, call_id: int) -> bool:
        if call_id > self._last_id:
            raise ProtocolError(f"a frame about call {call_id}, which was never made")
        return call_id in self._work  # when not, it crossed with our last frame

    def _stop(self, call_id: int, reason: InnkeeperError) -> None:
        work = self._work[call_id]
        if work.stopped is None:
            work.stopped = reason
            self._deadlines.forget(("theirs", call_id))
            self._emit(HandlerUnwanted(call_id=call_id))

    def _ended(self, call_id: int) -> _Working | None:
        self._deadlines.forget(("theirs", call_id))
        return self._work.pop(call_id, None)

    def _tell(self, call_id: int, error: InnkeeperError) -> None:
        message = clipped(str(error))
        try:
            self._send(Error(id=call_id, code=error_code(error), message=message, details=error.details))
        except Unsendable:
            self._send(Error(id=call_id, code=error_code(error), message=message))


def error_code(error: InnkeeperError) -> str:
    """The code to tell: an error that came from a newer peer keeps the code it came with."""
    told = error.details.get("code")
    return told if type(error) is InnkeeperError and isinstance(told, str) else error.code
