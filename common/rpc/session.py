"""The link protocol as a state machine without I/O and without a clock.

The owner passes in received frames and the time, and takes out frames to send and events to act on:

    session.receive(frame_bytes, now)
    frames, outputs = session.drain()

Times are seconds of any monotonic clock. No frame raises: a protocol error ends the session, and `Ended` has the error.
When the session ends, every outgoing call fails with LinkLost and every handler is cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from common.errors import (
    InnkeeperError,
    LinkLost,
    NotAllowed,
    NotTrusted,
    PeerSilent,
    ProtocolViolation,
    VersionMismatch,
)
from common.rpc.deadlines import Deadlines
from common.rpc.frames import (
    LINK_ID,
    MAX_EVENT_BYTES,
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
from common.rpc.outgoing import Outgoing, error_of_frame
from common.rpc.session_events import Ended, EventArrived, Opened, Output

LOWEST_VERSION = 1
HIGHEST_VERSION = 1
IDLE_TIMEOUT_S = 45.0
NO_CONTEXT: Mapping[str, str | int] = {}
SHORTEST_IDLE_TIMEOUT_S, LONGEST_IDLE_TIMEOUT_S = 3, 600  # that the settings permit


@frozen(kw_only=True)
class Limits:
    """Limits of one end for the other. The defaults are for a peer with a certificate of this installation."""

    max_frame_bytes: int = MAX_FRAME_BYTES
    max_sent_bytes: int = MAX_FRAME_BYTES  # the longest frame that the other end accepts
    max_calls: int = 256  # running at once
    max_total_calls: int | None = None  # during the life of the link
    max_bytes_in_flight: int = 8 * MAX_FRAME_BYTES  # of the requests of all running calls
    max_deadline_s: float | None = None  # longer deadlines are reduced to this
    takes_events: bool = True
    hello_timeout_s: float = 10.0
    ping_after_s: float = IDLE_TIMEOUT_S / 3
    idle_timeout_s: float = IDLE_TIMEOUT_S

    @classmethod
    def with_idle_timeout(cls, idle_timeout_s: float) -> Limits:
        """Returns the defaults with this idle timeout; a ping is sent after a third of it."""
        return cls(ping_after_s=idle_timeout_s / 3, idle_timeout_s=idle_timeout_s)


class Session:
    """`methods` maps each command that this end serves to whether it streams; `hello` describes this end."""

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
            max_bytes=limits.max_bytes_in_flight,
            max_deadline_s=limits.max_deadline_s,
        )
        self._hello_due_at = now + limits.hello_timeout_s
        self._last_activity_at = now
        self._pinged = False
        self._send(hello)

    @property
    def is_open(self) -> bool:
        return self._is_open and self.error is None

    @property
    def calls_out(self) -> int:
        """Outgoing calls that have not ended, including cancelled ones whose handler is still stopping."""
        return len(self._outgoing)

    @property
    def calls_in(self) -> int:
        return len(self._incoming)

    @property
    def timers(self) -> int:
        return len(self._deadlines)

    def drain(self) -> tuple[list[bytes], list[Output]]:
        """Removes and returns the frames to send and the events to act on, each in order."""
        frames, outputs = self._frames[:], self._outputs[:]
        self._frames.clear()
        self._outputs.clear()
        return frames, outputs

    # Receiving -----------------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """Takes the bytes of one frame, without the length prefix."""
        if self.error is not None:
            return
        self.on_activity(now)
        try:
            self._take(decode(data, max_bytes=self._limits.max_frame_bytes), len(data), now)
        except ProtocolError as error:
            self.protocol_error(str(error))

    def protocol_error(self, what: str) -> None:
        """Ends the session because the peer violated the protocol, and sends it the error."""
        self.close(ProtocolViolation(f"protocol error by the peer: {what}"))

    def on_activity(self, now: float) -> None:
        """Notes that bytes arrived, perhaps part of a frame: the peer is alive."""
        self._last_activity_at = now
        self._pinged = False

    def tick(self, now: float) -> None:
        """Handles deadlines and timeouts that are due. May be called at any time; needed at `next_tick_at`."""
        if self.error is not None:
            return
        for side, call_id in self._deadlines.take_due(now):
            (self._outgoing if side == "outgoing" else self._incoming).expire(call_id)
        if not self._is_open and now >= self._hello_due_at:
            self.close(LinkLost(f"no hello within {self._limits.hello_timeout_s:g} s"))
        elif now >= self._last_activity_at + self._limits.idle_timeout_s:
            self.close(PeerSilent(f"no data from the peer for {now - self._last_activity_at:.0f} s"))
        elif now >= self._last_activity_at + self._limits.ping_after_s and not self._pinged:
            self._pinged = True
            self._send(Ping())

    def next_tick_at(self) -> float | None:
        """Returns when `tick` is due next, None when the session has ended."""
        if self.error is not None:
            return None
        wait_s = self._limits.idle_timeout_s if self._pinged else self._limits.ping_after_s
        moments = [self._last_activity_at + wait_s, self._deadlines.next_at()]
        if not self._is_open:
            moments.append(self._hello_due_at)
        return min(at for at in moments if at is not None)

    # Sending -----------------------------------------------------------------------------------------

    def call(
        self,
        now: float,
        method: str,
        body: Any,
        *,
        deadline_s: float,
        window: int = 0,
        context: Mapping[str, str | int] = NO_CONTEXT,
    ) -> int:
        """Starts a call and returns its id, which the events of the call carry. `window` above 0 requests a stream.

        `context` has ids for the peer's log.

        Calls beyond what the peer runs at once wait, within their deadline. Raises LinkLost when the session is
        not open; Unsendable or Busy with nothing sent.
        """
        if not self.is_open:
            raise self._lost()
        return self._outgoing.start(now, method, body, deadline_s, window, context)

    def cancel(self, call_id: int) -> None:
        """Cancels an outgoing call; no event of it follows. Idempotent."""
        if self.error is None:
            self._outgoing.cancel(call_id)

    def consumed(self, call_id: int) -> None:
        """Notes that one item of a stream was processed, so that the peer may send another."""
        if self.error is None:
            self._outgoing.consumed(call_id)

    def credit(self, call_id: int) -> int:
        """Returns how many items of a served stream may be sent now."""
        return self._incoming.credit(call_id)

    def item(self, call_id: int, body: Any) -> None:
        """Sends the next item of a served stream. Raises Unsendable; ValueError without credit."""
        self._incoming.item(call_id, body)

    def done(self, call_id: int, body: Any = None) -> None:
        self._incoming.done(call_id, body)

    def fail(self, call_id: int, error: InnkeeperError) -> None:
        self._incoming.fail(call_id, error)

    def event(self, name: str, body: Any) -> None:
        """Sends an event, which has no response. Raises LinkLost when the session is not open, Unsendable."""
        if not self.is_open:
            raise self._lost()
        self._send(Event(name=name, body=body))

    def close(self, error: InnkeeperError) -> None:
        """Sends the error to the peer and ends the session. Idempotent."""
        if self.error is None:
            self._send(Error(id=LINK_ID, code=error_code(error), message=clipped(str(error))))
            self.end(error)

    def end(self, error: InnkeeperError) -> None:
        """Ends the session without sending anything: the connection is lost. Idempotent; the first error stays."""
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
                self._incoming.on_call(frame, size_bytes, now)
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
                    raise ProtocolError("an event, which this link does not accept")
                if size_bytes > MAX_EVENT_BYTES:
                    raise ProtocolError(f"an event of {size_bytes} bytes, over the limit of {MAX_EVENT_BYTES}")
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
        error = error_of_frame(frame)
        is_specific = isinstance(error, NotAllowed | NotTrusted | VersionMismatch)
        self.end(error if is_specific else LinkLost(f"ended by the peer: {frame.message}"))

    def _lost(self) -> LinkLost:
        if self.error is None:
            return LinkLost("the link is not open yet")
        return self.error if isinstance(self.error, LinkLost) else LinkLost(f"the link ended: {self.error}")

    def _send(self, frame: Frame) -> None:
        if self.error is None:
            self._frames.append(encode(frame, max_bytes=self._limits.max_sent_bytes))


def _mismatch(local: Hello, remote: Hello) -> VersionMismatch:
    return VersionMismatch(
        f"this end ({local.role} {local.name}) supports protocol versions {local.lowest_version} to "
        f"{local.highest_version}, the other ({remote.role} {remote.name}) {remote.lowest_version} to "
        f"{remote.highest_version}: upgrade the older one",
        local=[local.lowest_version, local.highest_version],
        remote=[remote.lowest_version, remote.highest_version],
    )
