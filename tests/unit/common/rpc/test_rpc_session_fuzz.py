"""No order of calls, responses, cancellations, time, lost and damaged frames breaks a session or leaks a call."""

from __future__ import annotations

from collections import deque

import hypothesis.strategies as st
import pytest
from attrs import define, field
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.errors import DriverFailed, InnkeeperError, LinkLost
from common.rpc.frames import Hello
from common.rpc.session import Limits, Session
from common.rpc.session_events import (
    CallDone,
    CallFailed,
    Ended,
    HandlerCancelled,
    HandlerRequested,
    ItemArrived,
    Output,
)

WINDOW = 4
MAX_CALLS = 3
METHODS = {"echo": False, "list": True}
sides = st.sampled_from([0, 1])
picks = st.integers(min_value=0)


@define
class End:
    """One session, its sent frames that are not delivered, and the state that the test expects."""

    session: Session
    in_transit: deque[bytes] = field(factory=deque)
    open_calls: set[int] = field(factory=set)
    cancelled: set[int] = field(factory=set)
    unread: dict[int, int] = field(factory=dict)
    handlers: set[int] = field(factory=set)
    unwanted: set[int] = field(factory=set)
    ended: int = 0

    def drain(self) -> None:
        frames, outputs = self.session.drain()
        self.in_transit.extend(frames)
        for output in outputs:
            self._record(output)

    def _record(self, output: Output) -> None:
        match output:
            case CallDone(call_id=call_id) | CallFailed(call_id=call_id):
                assert call_id not in self.cancelled, "a cancelled call got an outcome"
                self.open_calls.remove(call_id)
                self.unread.pop(call_id, None)
            case ItemArrived(call_id=call_id):
                assert call_id in self.open_calls
                self.unread[call_id] = self.unread.get(call_id, 0) + 1
                assert self.unread[call_id] <= WINDOW
            case HandlerRequested(call_id=call_id):
                assert call_id not in self.handlers
                self.handlers.add(call_id)
            case HandlerCancelled(call_id=call_id):
                assert call_id in self.handlers
                assert call_id not in self.unwanted
                self.unwanted.add(call_id)
            case Ended():
                self.ended += 1


class Conversation(RuleBasedStateMachine):
    faults = True

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        limits = Limits(max_calls=MAX_CALLS)
        hello = Hello(lowest_version=1, highest_version=1, role="rack", name="r", max_calls=MAX_CALLS)
        self.ends = [End(Session(hello=hello, methods=METHODS, limits=limits, now=0.0)) for _ in range(2)]
        for end in self.ends:
            end.drain()

    @initialize()
    def exchange_hellos(self) -> None:
        for side in (0, 1):
            self._deliver(side)

    @rule(side=sides, streams=st.booleans(), deadline_s=st.sampled_from([500.0, 50.0, 5000.0, 1.0, 0.0]))
    def call(self, side: int, streams: bool, deadline_s: float) -> None:  # drawn by Hypothesis
        end = self.ends[side]
        method, window = ("list", WINDOW) if streams else ("echo", 0)
        try:
            call_id = end.session.call(self.now, method, b"body", deadline_s=deadline_s, window=window)
        except LinkLost:
            assert not end.session.is_open
            return
        end.open_calls.add(call_id)
        end.drain()

    @rule(side=sides, pick=picks)
    def cancel(self, side: int, pick: int) -> None:
        end = self.ends[side]
        if end.open_calls:
            call_id = sorted(end.open_calls)[pick % len(end.open_calls)]
            end.open_calls.remove(call_id)
            end.cancelled.add(call_id)
            end.unread.pop(call_id, None)
            end.session.cancel(call_id)
            end.drain()

    @rule(side=sides, pick=picks)
    def consume_an_item(self, side: int, pick: int) -> None:
        end = self.ends[side]
        if unread := sorted(call_id for call_id, count in end.unread.items() if count):
            call_id = unread[pick % len(unread)]
            end.unread[call_id] -= 1
            end.session.consumed(call_id)
            end.drain()

    @rule()
    def deliver_everything(self) -> None:
        while any(end.in_transit for end in self.ends):
            for side in (0, 1):
                self._deliver(side)

    @rule(side=sides, pick=picks, fails=st.booleans())
    def respond(self, side: int, pick: int, fails: bool) -> None:  # drawn by Hypothesis
        end = self.ends[side]
        if end.handlers:
            call_id = sorted(end.handlers)[pick % len(end.handlers)]
            self._end_handler(end, call_id, DriverFailed("no") if fails else None)
            end.drain()

    @rule(side=sides, pick=picks)
    def send_items(self, side: int, pick: int) -> None:
        """Uses up the credit of one stream."""
        end = self.ends[side]
        if sendable := [call_id for call_id in sorted(end.handlers) if end.session.credit(call_id)]:
            call_id = sendable[pick % len(sendable)]
            while end.session.credit(call_id):
                end.session.item(call_id, b"item")
            end.drain()

    @rule(side=sides, seconds=st.sampled_from([0.1, 1.0, 14.0, 16.0]))
    def pass_time(self, side: int, seconds: float) -> None:
        self.now += seconds
        self.ends[side].session.tick(self.now)
        self.ends[side].drain()

    @rule(side=sides, frames=st.sampled_from([1, 2, 100]))
    def deliver(self, side: int, frames: int) -> None:
        for _ in range(min(frames, len(self.ends[side].in_transit))):
            self._deliver(side)

    @precondition(lambda self: self.faults)
    @rule(side=sides, kind=st.sampled_from(["drop", "twice", "swap"]))
    def drop_repeat_or_reorder_frames(self, side: int, kind: str) -> None:
        in_transit = self.ends[side].in_transit
        if not in_transit:
            return
        if kind == "drop":
            in_transit.popleft()
        elif kind == "twice":
            in_transit.appendleft(in_transit[0])
        else:
            in_transit.rotate(1)

    @precondition(lambda self: self.faults)
    @rule(side=sides, data=st.binary(max_size=30), at=picks)
    def damage_a_frame(self, side: int, data: bytes, at: int) -> None:
        in_transit = self.ends[side].in_transit
        if in_transit:
            frame = in_transit.popleft()
            cut = at % len(frame)
            in_transit.appendleft(frame[:cut] + data + frame[cut + 1 :])

    @precondition(lambda self: self.faults)
    @rule(side=sides)
    def lose_the_link(self, side: int) -> None:
        self.ends[side].session.end(LinkLost("lost"))
        self.ends[side].drain()

    @invariant()
    def limits_and_cleanup_hold(self) -> None:
        for end in self.ends:
            assert end.session.calls_in <= MAX_CALLS
            assert end.ended == (end.session.error is not None)
            if end.ended:
                assert not end.open_calls, "a call outlived its link"
                assert end.handlers == end.unwanted, "a handler was not cancelled"
                assert end.session.calls_out == end.session.calls_in == end.session.timers == 0

    def teardown(self) -> None:
        """All calls end: without faults by their response, with faults at the latest with the link."""
        if self.faults:
            for end in self.ends:
                end.session.end(LinkLost("the test ended"))
                end.drain()
        while any(end.in_transit or end.handlers for end in self.ends):
            for side, end in enumerate(self.ends):
                for call_id in tuple(end.handlers):
                    self._end_handler(end, call_id, None)
                end.drain()
                while end.in_transit:
                    self._deliver(side)
        for end in self.ends:
            assert not end.open_calls
            assert end.session.calls_out == end.session.calls_in == end.session.timers == 0

    def _deliver(self, side: int) -> None:
        """Delivers the next frame that `side` sent."""
        if self.ends[side].in_transit:
            other = self.ends[1 - side]
            other.session.receive(self.ends[side].in_transit.popleft(), self.now)
            other.drain()

    def _end_handler(self, end: End, call_id: int, error: InnkeeperError | None) -> None:
        end.handlers.discard(call_id)
        end.unwanted.discard(call_id)
        if error is None:
            end.session.done(call_id, b"response")
        else:
            end.session.fail(call_id, error)


class FaultlessConversation(Conversation):
    """The same over a link without faults, whose sides are never idle for long."""

    faults = False

    @rule(side=sides, seconds=st.sampled_from([0.1, 1.0, 10.0]))
    def pass_time(self, side: int, seconds: float) -> None:
        self.now += seconds
        for end in self.ends:
            end.session.on_activity(self.now)
            end.session.tick(self.now)
            end.drain()

    @invariant()
    def credit_and_unread_items_fit_the_window(self) -> None:
        for side, end in enumerate(self.ends):
            for call_id in end.open_calls:
                granted = self.ends[1 - side].session.credit(call_id)
                assert granted + end.unread.get(call_id, 0) <= WINDOW

    @invariant()
    def the_link_stays_open(self) -> None:
        assert all(end.session.error is None for end in self.ends)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Conversation, FaultlessConversation])
def test_no_order_of_events_breaks_a_session(kind: type[Conversation]) -> None:
    case = kind.TestCase
    case.settings = settings(
        max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case("runTest").debug()
