"""Any order of calls, answers, cancels, time, loss and garbage: a session never fails, and never forgets a call."""

from __future__ import annotations

from collections import deque

import hypothesis.strategies as st
import pytest
from attrs import define, field
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.errors import DriverFailed, InnkeeperError, LinkLost
from common.rpc.frames import Hello
from common.rpc.outputs import CallDone, CallFailed, Ended, HandlerUnwanted, HandlerWanted, ItemArrived, Output
from common.rpc.session import Limits, Session

WINDOW = 4
MAX_CALLS = 3
METHODS = {"echo": False, "list": True}
sides = st.sampled_from([0, 1])
picks = st.integers(min_value=0)


@define
class End:
    """One session, its frames under way, and what the test knows it should know."""

    session: Session
    under_way: deque[bytes] = field(factory=deque)
    open_calls: set[int] = field(factory=set)
    cancelled: set[int] = field(factory=set)
    unread: dict[int, int] = field(factory=dict)
    handlers: set[int] = field(factory=set)
    unwanted: set[int] = field(factory=set)
    ended: int = 0

    def pump(self) -> None:
        frames, outputs = self.session.drain()
        self.under_way.extend(frames)
        for output in outputs:
            self._note(output)

    def _note(self, output: Output) -> None:
        match output:
            case CallDone(call_id=call_id) | CallFailed(call_id=call_id):
                assert call_id not in self.cancelled, "heard of a call that was cancelled"
                self.open_calls.remove(call_id)
                self.unread.pop(call_id, None)
            case ItemArrived(call_id=call_id):
                assert call_id in self.open_calls
                self.unread[call_id] = self.unread.get(call_id, 0) + 1
                assert self.unread[call_id] <= WINDOW
            case HandlerWanted(call_id=call_id):
                assert call_id not in self.handlers
                self.handlers.add(call_id)
            case HandlerUnwanted(call_id=call_id):
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
            end.pump()

    @initialize()
    def say_hello(self) -> None:
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
        end.pump()

    @rule(side=sides, pick=picks)
    def cancel(self, side: int, pick: int) -> None:
        end = self.ends[side]
        if end.open_calls:
            call_id = sorted(end.open_calls)[pick % len(end.open_calls)]
            end.open_calls.remove(call_id)
            end.cancelled.add(call_id)
            end.unread.pop(call_id, None)
            end.session.cancel(call_id)
            end.pump()

    @rule(side=sides, pick=picks)
    def read_an_item(self, side: int, pick: int) -> None:
        end = self.ends[side]
        if unread := sorted(call_id for call_id, count in end.unread.items() if count):
            call_id = unread[pick % len(unread)]
            end.unread[call_id] -= 1
            end.session.consumed(call_id)
            end.pump()

    @rule()
    def deliver_everything(self) -> None:
        while any(end.under_way for end in self.ends):
            for side in (0, 1):
                self._deliver(side)

    @rule(side=sides, pick=picks, fails=st.booleans())
    def answer(self, side: int, pick: int, fails: bool) -> None:  # drawn by Hypothesis
        end = self.ends[side]
        if end.handlers:
            call_id = sorted(end.handlers)[pick % len(end.handlers)]
            self._finish(end, call_id, DriverFailed("no") if fails else None)
            end.pump()

    @rule(side=sides, pick=picks)
    def send_items(self, side: int, pick: int) -> None:
        """As many as one stream may."""
        end = self.ends[side]
        if able := [call_id for call_id in sorted(end.handlers) if end.session.credit(call_id)]:
            call_id = able[pick % len(able)]
            while end.session.credit(call_id):
                end.session.item(call_id, b"item")
            end.pump()

    @rule(side=sides, seconds=st.sampled_from([0.1, 1.0, 14.0, 16.0]))
    def pass_time(self, side: int, seconds: float) -> None:
        self.now += seconds
        self.ends[side].session.tick(self.now)
        self.ends[side].pump()

    @rule(side=sides, frames=st.sampled_from([1, 2, 100]))
    def deliver(self, side: int, frames: int) -> None:
        for _ in range(min(frames, len(self.ends[side].under_way))):
            self._deliver(side)

    @precondition(lambda self: self.faults)
    @rule(side=sides, kind=st.sampled_from(["drop", "twice", "swap"]))
    def lose_or_repeat_a_frame(self, side: int, kind: str) -> None:
        under_way = self.ends[side].under_way
        if not under_way:
            return
        if kind == "drop":
            under_way.popleft()
        elif kind == "twice":
            under_way.appendleft(under_way[0])
        else:
            under_way.rotate(1)

    @precondition(lambda self: self.faults)
    @rule(side=sides, data=st.binary(max_size=30), at=picks)
    def garble_a_frame(self, side: int, data: bytes, at: int) -> None:
        under_way = self.ends[side].under_way
        if under_way:
            frame = under_way.popleft()
            cut = at % len(frame)
            under_way.appendleft(frame[:cut] + data + frame[cut + 1 :])

    @precondition(lambda self: self.faults)
    @rule(side=sides)
    def cut_the_cable(self, side: int) -> None:
        self.ends[side].session.end(LinkLost("cut"))
        self.ends[side].pump()

    @invariant()
    def no_more_is_worked_on_than_allowed(self) -> None:
        for end in self.ends:
            assert end.session.calls_in <= MAX_CALLS
            assert end.ended == (end.session.error is not None)
            if end.ended:
                assert not end.open_calls, "a call outlived its link"
                assert end.handlers == end.unwanted, "a handler was not told to stop"
                assert end.session.calls_out == end.session.calls_in == end.session.timers == 0

    def teardown(self) -> None:
        """Without faults all calls come to their end; with them, at the latest with the link."""
        if self.faults:
            for end in self.ends:
                end.session.end(LinkLost("over"))
                end.pump()
        while any(end.under_way or end.handlers for end in self.ends):
            for side, end in enumerate(self.ends):
                for call_id in tuple(end.handlers):
                    self._finish(end, call_id, None)
                end.pump()
                while end.under_way:
                    self._deliver(side)
        for end in self.ends:
            assert not end.open_calls
            assert end.session.calls_out == end.session.calls_in == end.session.timers == 0

    def _deliver(self, side: int) -> None:
        """The next frame that `side` sent."""
        if self.ends[side].under_way:
            other = self.ends[1 - side]
            other.session.receive(self.ends[side].under_way.popleft(), self.now)
            other.pump()

    def _finish(self, end: End, call_id: int, error: InnkeeperError | None) -> None:
        end.handlers.discard(call_id)
        end.unwanted.discard(call_id)
        if error is None:
            end.session.done(call_id, b"answer")
        else:
            end.session.fail(call_id, error)


class HonestConversation(Conversation):
    """The same over a link that loses nothing, and whose ends are never silent for long."""

    faults = False

    @rule(side=sides, seconds=st.sampled_from([0.1, 1.0, 10.0]))
    def pass_time(self, side: int, seconds: float) -> None:
        self.now += seconds
        for end in self.ends:
            end.session.heard(self.now)
            end.session.tick(self.now)
            end.pump()

    @invariant()
    def never_more_than_a_window_is_granted_and_unread(self) -> None:
        for side, end in enumerate(self.ends):
            for call_id in end.open_calls:
                granted = self.ends[1 - side].session.credit(call_id)
                assert granted + end.unread.get(call_id, 0) <= WINDOW

    @invariant()
    def the_link_stays_open(self) -> None:
        assert all(end.session.error is None for end in self.ends)


@pytest.mark.parametrize("kind", [Conversation, HonestConversation])
def test_no_order_of_things_breaks_a_session(kind: type[Conversation]) -> None:
    case = kind.TestCase
    case.settings = settings(
        max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case("runTest").debug()
