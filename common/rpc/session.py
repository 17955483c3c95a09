"""One link's conversation, without I/O and without a clock.

The owner hands in what arrived and what time it is, and takes out what to send and what to do:

    session.receive(frame_bytes, now)
    frames, outputs = session.drain()

Times are seconds on any clock that only goes forward. Nothing here raises on what the other end sends: whatever breaks
the protocol ends the session, and `Ended` says why. At the end every call of ours has failed with LinkLost and every
handler is unwanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.errors import InnkeeperError, LinkLost, NotAllowed, NotTrusted, ProtocolBroken, VersionMismatch
from common.rpc.deadlines import Deadlines
from common.rpc.frames import (
    LINK_ID,
    MAX_FRAME_BYTES,
    Call,
    Cancel,
    Credit,
    Done,
    Error,
    Event,
    Frame,
    Hello,
    Item,
    Ping,
    Pong,
    ProtocolError,
    clipped,
    decode,
    encode,
)
from common.rpc.incoming import Incoming, error_code
from common.rpc.outgoing import Outgoing, told_error
from common.rpc.outputs import Ended, EventArrived, Opened, Output

LOWEST_VERSION = 1
HIGHEST_VERSION = 1
SILENCE_S = 45.0


@frozen(kw_only=True)
class Limits:
    """What one end takes from the other. The defaults are for a peer with a certificate of ours."""

    max_frame_bytes: int = MAX_FRAME_BYTES
    max_calls: int = 256  # worked on at once
    max_total_calls: int | None = None  # in the link's life
    max_deadline_s: float | None = None  # longer ones are cut
    takes_events: bool = True
    hello_timeout_s: float = 10.0
    ping_after_s: float = SILENCE_S / 3
    silence_timeout_s: float = SILENCE_S

    @classmethod
    def of_silence(cls, silence_s: float) -> Limits:
        """The defaults, for an end that gives up the other after `silence_s` without a word, having asked once."""
        return cls(ping_after_s=silence_s / 3, silence_timeout_s=silence_s)


class Session:
    """`methods` are the names we answer, each with whether it streams; `hello` is what we say of ourselves."""

    def __init__(self, *, hello: Hello, methods: Mapping[str, bool], limits: Limits, now: float) -> None:
        self.hello = hello
        self.error: InnkeeperError | None = None
        self._limits = limits
        self._is_open = False
        self._frames: list[bytes] = []
        self._outputs: list[Output] = []
        self._deadlines: Deadlines[tuple[str, int]] = Deadlines()
        self._outgoing = Outgoing(self._send, self._outputs.append, self._deadlines)
        self._incoming = Incoming(
            self._send,
            self._outputs.append,
            self._deadlines,
            methods=methods,
            max_calls=limits.max_calls,
            max_total=limits.max_total_calls,
            max_deadline_s=limits.max_deadline_s,
        )
        self._hello_due_at = now + limits.hello_timeout_s
        self._heard_at = now
        self._pinged = False
        self._send(hello)

    @property
    def is_open(self) -> bool:
        return self._is_open and self.error is None

    @property
    def calls_out(self) -> int:
        """Calls of ours that have not ended, those given up on whose handler still stops among them."""
        return len(self._outgoing)

    @property
    def calls_in(self) -> int:
        return len(self._incoming)

    @property
    def timers(self) -> int:
        return len(self._deadlines)

    def drain(self) -> tuple[list[bytes], list[Output]]:
        """What to send and what to do, each in its order; both are empty then."""
        frames, outputs = self._frames[:], self._outputs[:]
        self._frames.clear()
        self._outputs.clear()
        return frames, outputs

    # What arrives -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """One frame's bytes, without the length prefix."""
        if self.error is not None:
            return
        self.heard(now)
        try:
            self._take(decode(data, max_bytes=self._limits.max_frame_bytes), len(data), now)
        except ProtocolError as error:
            self.break_off(str(error))

    def break_off(self, what: str) -> None:
        """The other end broke the protocol: tell it so and end."""
        self.close(ProtocolBroken(f"the other end of the link broke the protocol: {what}"))

    def heard(self, now: float) -> None:
        """Something arrived, part of a frame perhaps: the other end lives."""
        self._heard_at = now
        self._pinged = False

    def tick(self, now: float) -> None:
        """Do what is due. Call it at `next_tick_at`, or at any other time."""
        if self.error is not None:
            return
        for side, call_id in self._deadlines.take_due(now):
            (self._outgoing if side == "ours" else self._incoming).expire(call_id)
        if not self._is_open and now >= self._hello_due_at:
            self.close(LinkLost(f"no hello within {self._limits.hello_timeout_s:g} s"))
        elif now >= self._heard_at + self._limits.silence_timeout_s:
            self.close(LinkLost(f"the other end of the link was silent for {now - self._heard_at:.0f} s"))
        elif now >= self._heard_at + self._limits.ping_after_s and not self._pinged:
            self._pinged = True
            self._send(Ping())

    def next_tick_at(self) -> float | None:
        """When `tick` has something to do next; None when the session has ended."""
        if self.error is not None:
            return None
        wait_s = self._limits.silence_timeout_s if self._pinged else self._limits.ping_after_s
        moments = [self._heard_at + wait_s, self._deadlines.next_at()]
        if not self._is_open:
            moments.append(self._hello_due_at)
        return min(moment for moment in moments if moment is not None)

    # What our side wants ----------------------------------------------------------------------------------------

    def call(self, now: float, method: str, body: Any, *, deadline_s: float, window: int = 0) -> int:
        """Ask; the id is in the outputs that follow. `window` above 0 asks for a stream, that many items ahead.

        Beyond the calls that the other end takes at once, calls wait their turn within their deadline. Raises LinkLost
        when the session is not open, Unsendable or Busy with nothing sent.
        """
        if not self.is_open:
            raise self._lost()
        return self._outgoing.start(now, method, body, deadline_s, window)

    def cancel(self, call_id: int) -> None:
        """Nothing more is heard of that call. Harmless when it has ended."""
        if self.error is None:
            self._outgoing.cancel(call_id)

    def consumed(self, call_id: int) -> None:
        """One item of our stream was used up: the other end may send another in its place."""
        if self.error is None:
            self._outgoing.consumed(call_id)

    def credit(self, call_id: int) -> int:
        """How many items of the stream we serve may be sent now."""
        return self._incoming.credit(call_id)

    def item(self, call_id: int, body: Any) -> None:
        """The next item of a stream we serve. Raises Unsendable; ValueError when there is no credit."""
        self._incoming.item(call_id, body)

    def done(self, call_id: int, body: Any = None) -> None:
        self._incoming.done(call_id, body)

    def fail(self, call_id: int, error: InnkeeperError) -> None:
        self._incoming.fail(call_id, error)

    def event(self, name: str, body: Any) -> None:
        """Tell without expecting an answer. Raises LinkLost when the session is not open, Unsendable."""
        if not self.is_open:
            raise self._lost()
        self._send(Event(name=name, body=body))

    def close(self, error: InnkeeperError) -> None:
        """Tell the other end why, and end. Harmless when it has ended."""
        if self.error is None:
            self._send(Error(id=LINK_ID, code=error_code(error), message=clipped(str(error))))
            self.end(error)

    def end(self, error: InnkeeperError) -> None:
        """The link is gone. Harmless to repeat; the first reason stays."""
        if self.error is not None:
            return
        self.error = error
        self._outgoing.end_all(str(self._lost()))
        self._incoming.end_all()
        self._outputs.append(Ended(error=error))

    # ------------------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame, size_bytes: int, now: float) -> None:
        if isinstance(frame, Error) and frame.id == LINK_ID:
            self._ended_by_peer(frame)
            return
        if isinstance(frame, Hello):
            self._greet(frame)
            return
        if not self._is_open:
            raise ProtocolError(f"a {type(frame).__name__.lower()} frame before the hello")
        self._take_opened(frame, size_bytes, now)

    def _take_opened(self, frame: Frame, size_bytes: int, now: float) -> None:
        match frame:
            case Call():
                self._incoming.on_call(frame, now)
            case Cancel():
                self._incoming.on_cancel(frame)
            case Credit():
                self._incoming.on_credit(frame)
            case Item():
                self._outgoing.on_item(frame, size_bytes)
            case Done() | Error():
                self._outgoing.on_end(frame, now)
            case Event():
                if not self._limits.takes_events:
                    raise ProtocolError("an event, which this link does not take")
                self._outputs.append(EventArrived(name=frame.name, body=frame.body))
            case Ping():
                self._send(Pong())

    def _greet(self, theirs: Hello) -> None:
        if self._is_open:
            raise ProtocolError("a second hello")
        version = min(self.hello.highest_version, theirs.highest_version)
        if version < max(self.hello.lowest_version, theirs.lowest_version):
            self.close(_mismatch(self.hello, theirs))
            return
        self._is_open = True
        self._outgoing.max_calls = theirs.max_calls
        self._outputs.append(Opened(peer=theirs, version=version))

    def _ended_by_peer(self, frame: Error) -> None:
        error = told_error(frame)
        keeps_its_kind = isinstance(error, NotAllowed | NotTrusted | VersionMismatch)
        self.end(error if keeps_its_kind else LinkLost(f"ended by the other end: {frame.message}"))

    def _lost(self) -> LinkLost:
        if self.error is None:
            return LinkLost("the link is not open yet")
        return self.error if isinstance(self.error, LinkLost) else LinkLost(f"the link ended: {self.error}")

    def _send(self, frame: Frame) -> None:
        if self.error is None:
            self._frames.append(encode(frame))


def _mismatch(ours: Hello, theirs: Hello) -> VersionMismatch:
    return VersionMismatch(
        f"this end ({ours.role} {ours.name}) speaks protocol versions {ours.lowest_version} to {ours.highest_version}, "
        f"the other ({theirs.role} {theirs.name}) {theirs.lowest_version} to {theirs.highest_version}: "
        f"upgrade the older one",
        ours=[ours.lowest_version, ours.highest_version],
        theirs=[theirs.lowest_version, theirs.highest_version],
    )
