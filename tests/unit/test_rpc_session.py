"""Two sessions in lockstep: every frame is handed over by the test, and time is a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import pytest
from attrs import define, field

from common.errors import (
    Busy,
    Cancelled,
    DeadlineExceeded,
    DriverFailed,
    InnkeeperError,
    InternalError,
    LinkLost,
    NotAllowed,
    Unsupported,
    VersionMismatch,
)
from common.rpc.frames import Call, Done, Frame, Hello, Item, Unsendable, encode
from common.rpc.outgoing import MAX_WAITING_CALLS
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
from common.rpc.session import Limits, Session

T = TypeVar("T")

METHODS = {"echo": False, "list": True}


def hello(name: str, versions: tuple[int, int] = (1, 1), max_calls: int = 8) -> Hello:
    return Hello(lowest_version=versions[0], highest_version=versions[1], role="rack", name=name, max_calls=max_calls)


@define
class End:
    session: Session
    outputs: list[Output] = field(factory=list)

    def all(self, kind: type[T]) -> list[T]:
        return [output for output in self.outputs if isinstance(output, kind)]

    def last(self, kind: type[T]) -> T:
        return self.all(kind)[-1]


@define
class Pair:
    """Two ends and the time. `settle` hands frames over until none is left."""

    here: End
    there: End
    now: float = 0.0

    def settle(self) -> None:
        while self._hand_over(self.here, self.there) + self._hand_over(self.there, self.here):
            pass

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.here.session.tick(self.now)
        self.there.session.tick(self.now)
        self.settle()

    def call(self, method: str = "echo", body: Any = None, *, deadline_s: float = 10.0, window: int = 0) -> int:
        call_id = self.here.session.call(self.now, method, body, deadline_s=deadline_s, window=window)
        self.settle()
        return call_id

    def at_rest(self) -> bool:
        ends = (self.here.session, self.there.session)
        return all(not end.calls_in and not end.calls_out and not end.timers for end in ends)

    def _hand_over(self, sender: End, receiver: End) -> int:
        frames, outputs = sender.session.drain()
        sender.outputs += outputs
        for frame in frames:
            receiver.session.receive(frame, self.now)
        return len(frames) + len(outputs)


def pair(
    *,
    versions: tuple[int, int] = (1, 1),
    max_calls: int = 8,
    limits: Limits | None = None,
    methods: Mapping[str, bool] = METHODS,
) -> Pair:
    limits = limits or Limits(max_calls=max_calls)
    here = Session(hello=hello("here"), methods=METHODS, limits=Limits(), now=0.0)
    there = Session(hello=hello("there", versions, max_calls), methods=methods, limits=limits, now=0.0)
    made = Pair(End(here), End(there))
    made.settle()
    return made


def test_both_ends_open_when_both_hellos_are_there() -> None:
    link = pair(versions=(1, 3))
    assert link.here.last(Opened).peer.name == "there"
    assert link.there.last(Opened).version == 1


def test_no_common_version_is_told_on_both_ends() -> None:
    link = pair(versions=(2, 3))
    errors = [end.last(Ended).error for end in (link.here, link.there)]
    assert all(isinstance(error, VersionMismatch) for error in errors)
    assert "here) speaks protocol versions 1 to 1" in str(errors[0])
    assert "there) 2 to 3" in str(errors[0])


def test_a_call_is_answered_once_and_leaves_nothing_behind() -> None:
    link = pair()
    call_id = link.call(body={"a": [1, "x", None]})
    wanted = link.there.last(HandlerWanted)
    assert (wanted.method, wanted.body, wanted.streams) == ("echo", {"a": [1, "x", None]}, False)
    link.there.session.done(wanted.call_id, "answer")
    link.there.session.done(wanted.call_id, "again")
    link.settle()
    assert link.here.all(CallDone) == [CallDone(call_id=call_id, body="answer")]
    assert link.at_rest()


def test_both_ends_may_call_at_the_same_time_with_the_same_ids() -> None:
    link = pair()
    for end in (link.here, link.there):
        assert end.session.call(0.0, "echo", None, deadline_s=5) == 1
    link.settle()
    link.here.session.done(1, "from here")
    link.there.session.done(1, "from there")
    link.settle()
    assert (link.here.last(CallDone).body, link.there.last(CallDone).body) == ("from there", "from here")
    assert link.at_rest()


def test_an_error_fails_its_call_with_its_kind_and_details() -> None:
    link = pair()
    link.call()
    link.there.session.fail(1, DriverFailed("it said no", host="h"))
    link.settle()
    error = link.here.last(CallFailed).error
    assert isinstance(error, DriverFailed)
    assert error.details == {"host": "h"}
    assert link.here.session.is_open


def test_details_that_fit_no_frame_are_left_out() -> None:
    link = pair()
    link.call()
    link.there.session.fail(1, DriverFailed("it said no", host=object()))
    link.settle()
    assert link.here.last(CallFailed).error.details == {}


@pytest.mark.parametrize("key", ["self", "message"])
def test_details_with_awkward_names_are_harmless(key: str) -> None:
    link = pair()
    link.call()
    error = DriverFailed("it said no")
    error.details[key] = 1
    link.there.session.fail(1, error)
    link.settle()
    assert isinstance(link.here.last(CallFailed).error, DriverFailed)


def test_a_code_from_a_newer_peer_is_kept_and_passed_on() -> None:
    link = pair()
    link.call()
    link.there.session.fail(1, InnkeeperError("something new", code="brand_new"))
    link.settle()
    assert link.here.last(CallFailed).error.details["code"] == "brand_new"


def test_unknown_commands_and_the_wrong_way_to_ask_are_unsupported() -> None:
    link = pair()
    for method, window in (("dance", 0), ("echo", 4), ("list", 0)):
        link.call(method, window=window)
        assert isinstance(link.here.last(CallFailed).error, Unsupported)
    assert link.there.all(HandlerWanted) == []
    assert link.at_rest()


def test_an_answer_that_fits_no_frame_fails_its_call() -> None:
    link = pair()
    link.call()
    link.there.session.done(1, b"x" * 2_000_000)
    link.settle()
    assert isinstance(link.here.last(CallFailed).error, InternalError)
    assert link.at_rest()


def test_a_request_that_fits_no_frame_is_refused_where_it_is_made() -> None:
    link = pair(max_calls=1)
    for _ in range(2):  # the second would have to wait its turn
        with pytest.raises(Unsendable):
            link.here.session.call(0.0, "echo", object(), deadline_s=1)
        link.call()
    assert link.here.session.calls_out == 2


def test_cancelling_stops_the_handler_and_the_slot_is_free_when_it_stopped() -> None:
    link = pair()
    call_id = link.call()
    link.here.session.cancel(call_id)
    link.settle()
    assert link.there.all(HandlerUnwanted) == [HandlerUnwanted(call_id=call_id)]
    assert link.here.session.calls_out == 1
    link.there.session.fail(call_id, Cancelled("stopped"))
    link.settle()
    assert not link.here.all(CallFailed)
    assert not link.here.all(CallDone)
    assert link.at_rest()


def test_a_cancel_that_crosses_with_the_answer_is_harmless() -> None:
    link = pair()
    call_id = link.call()
    link.there.session.done(call_id, 1)
    link.here.session.cancel(call_id)
    link.settle()
    assert link.here.session.is_open
    assert link.there.session.is_open
    assert link.at_rest()


def test_the_deadline_ends_a_call_on_both_ends() -> None:
    link = pair()
    call_id = link.call(deadline_s=2.0)
    assert link.there.last(HandlerWanted).left_s == 2.0
    link.pass_time(2.0)
    assert isinstance(link.here.last(CallFailed).error, DeadlineExceeded)
    assert link.there.last(HandlerUnwanted).call_id == call_id
    link.there.session.done(call_id, "too late")
    link.settle()
    assert len(link.here.all(CallFailed)) == 1
    assert link.here.all(CallDone) == []
    assert link.at_rest()


def test_the_handlers_side_tells_of_the_deadline_when_the_caller_did_not() -> None:
    link = pair(limits=Limits(max_deadline_s=1.0))
    call_id = link.call(deadline_s=60.0)
    link.pass_time(1.0)
    link.there.session.fail(call_id, Cancelled("stopped"))
    link.settle()
    assert isinstance(link.here.last(CallFailed).error, DeadlineExceeded)


def test_calls_beyond_the_other_ends_limit_wait_their_turn_and_lose_that_time() -> None:
    link = pair(max_calls=2)
    for body in range(4):
        link.call(body=body, deadline_s=10.0)
    assert [wanted.body for wanted in link.there.all(HandlerWanted)] == [0, 1]
    link.pass_time(4.0)
    link.there.session.done(1, None)
    link.settle()
    assert link.there.last(HandlerWanted).body == 2
    assert link.there.last(HandlerWanted).left_s == 6.0
    link.here.session.cancel(4)
    for call_id in (2, 3):
        link.there.session.done(call_id, None)
    link.settle()
    assert len(link.there.all(HandlerWanted)) == 3
    assert link.at_rest()


def test_a_call_that_waits_past_its_deadline_is_never_sent() -> None:
    link = pair(max_calls=1)
    link.call(deadline_s=10.0)
    late = link.call(deadline_s=1.0)
    link.pass_time(1.0)
    assert link.here.last(CallFailed).call_id == late
    link.there.session.done(1, None)
    link.settle()
    assert len(link.there.all(HandlerWanted)) == 1
    assert link.at_rest()


def test_an_end_that_is_asked_too_much_at_once_answers_busy() -> None:
    link = pair(max_calls=2)
    for number in (1, 2, 3):
        link.there.session.receive(encode(Call(id=number, method="echo", left_ms=1000)), 0.0)
    _, outputs = link.there.session.drain()
    assert len(outputs) == 2
    assert link.there.session.calls_in == 2


def test_too_many_waiting_calls_are_refused() -> None:
    link = pair(max_calls=1)
    for _ in range(1 + MAX_WAITING_CALLS):
        link.here.session.call(0.0, "echo", None, deadline_s=5)
    with pytest.raises(Busy):
        link.here.session.call(0.0, "echo", None, deadline_s=5)


def test_a_stream_sends_as_far_as_its_credit_and_goes_on_as_items_are_used() -> None:
    link = pair()
    call_id = link.call("list", window=4)
    sent = 0
    while link.there.session.credit(call_id):
        link.there.session.item(call_id, sent)
        sent += 1
    with pytest.raises(ValueError, match="no credit"):
        link.there.session.item(call_id, sent)
    link.settle()
    assert sent == len(link.here.all(ItemArrived)) == 4
    link.here.session.consumed(call_id)
    link.settle()
    assert link.there.session.credit(call_id) == 0
    link.here.session.consumed(call_id)
    link.settle()
    assert link.there.all(CreditArrived) == [CreditArrived(call_id=call_id)]
    assert link.there.session.credit(call_id) == 2
    link.there.session.done(call_id)
    link.settle()
    assert link.here.last(CallDone).call_id == call_id
    assert link.at_rest()


def test_an_item_beyond_the_credit_breaks_the_protocol() -> None:
    link = pair()
    link.call("list", window=1)
    for _ in range(2):
        link.here.session.receive(encode(Item(id=1)), 0.0)
    link.settle()
    assert "beyond its credit" in link.here.last(Ended).error.message
    assert isinstance(link.there.last(Ended).error, LinkLost)


def test_items_on_their_way_when_a_stream_is_cancelled_are_dropped() -> None:
    link = pair()
    call_id = link.call("list", window=4)
    link.there.session.item(call_id, 1)
    link.here.session.cancel(call_id)
    link.settle()
    assert link.here.all(ItemArrived) == []
    link.there.session.item(call_id, 2)
    link.there.session.fail(call_id, Cancelled("stopped"))
    link.settle()
    assert link.at_rest()


def test_events_arrive_in_order_and_need_no_answer() -> None:
    link = pair()
    for number in range(3):
        link.here.session.event("host.event", number)
    link.settle()
    assert [event.body for event in link.there.all(EventArrived)] == [0, 1, 2]


def test_a_silent_link_is_asked_and_then_given_up() -> None:
    link = pair()
    call_id = link.call(deadline_s=600)
    link.now = 20.0
    link.here.session.tick(20.0)
    frames, _ = link.here.session.drain()
    assert len(frames) == 1  # a ping, which gets lost
    link.here.session.tick(40.0)
    assert link.here.session.is_open
    link.here.session.tick(45.0)
    link.settle()
    assert "silent for 45 s" in link.here.last(Ended).error.message
    assert link.here.last(CallFailed).call_id == call_id


def test_a_link_that_answers_pings_lives_on() -> None:
    link = pair()
    for _ in range(20):
        link.pass_time(15.0)
    assert link.here.session.is_open
    assert link.there.session.is_open


def test_a_peer_that_never_says_hello_is_left() -> None:
    session = Session(hello=hello("here"), methods={}, limits=Limits(), now=0.0)
    assert session.next_tick_at() == 10.0
    session.tick(10.0)
    assert "no hello" in str(session.error)


def test_the_end_fails_every_call_and_stops_every_handler_once() -> None:
    link = pair(max_calls=2)
    asked = {link.call(deadline_s=100) for _ in range(4)}
    link.here.session.end(LinkLost("the cable was cut"))
    link.there.session.end(LinkLost("the cable was cut"))
    link.settle()
    failed = link.here.all(CallFailed)
    assert {failure.call_id for failure in failed} == asked
    assert len({id(failure.error) for failure in failed}) == 4
    assert {unwanted.call_id for unwanted in link.there.all(HandlerUnwanted)} == {1, 2}
    link.there.session.done(1, "too late")
    link.there.session.fail(2, Cancelled("stopped"))
    assert link.at_rest()
    assert link.here.session.next_tick_at() is None
    with pytest.raises(LinkLost, match="the cable was cut"):
        link.here.session.call(0.0, "echo", None, deadline_s=1)


def test_the_reason_of_a_refusal_reaches_the_other_end() -> None:
    link = pair()
    link.call()
    link.there.session.close(NotAllowed("this rack was removed"))
    link.settle()
    assert isinstance(link.here.last(Ended).error, NotAllowed)
    failed = link.here.last(CallFailed).error
    assert isinstance(failed, LinkLost)
    assert "removed" in failed.message


def test_only_so_many_calls_on_a_link_for_newcomers() -> None:
    link = pair(limits=Limits(max_total_calls=1, takes_events=False))
    link.call()
    link.there.session.done(1, None)
    link.call()
    assert isinstance(link.here.last(CallFailed).error, NotAllowed)
    link.here.session.event("hello", None)
    link.settle()
    assert link.there.last(Ended)


@pytest.mark.parametrize(
    "frame",
    [
        Done(id=99),
        Item(id=99),
        Call(id=0, method="echo", left_ms=1),
        hello("twice"),
    ],
    ids=lambda frame: type(frame).__name__,
)
def test_a_frame_out_of_place_breaks_the_protocol(frame: Frame) -> None:
    link = pair()
    link.here.session.receive(encode(frame), 0.0)
    link.settle()
    assert "broke the protocol" in link.here.last(Ended).error.message
    assert isinstance(link.there.last(Ended).error, LinkLost)


def test_a_call_before_the_hello_breaks_the_protocol() -> None:
    session = Session(hello=hello("here"), methods=METHODS, limits=Limits(), now=0.0)
    session.receive(encode(Call(id=1, method="echo", left_ms=1)), 0.0)
    assert "before the hello" in str(session.error)
