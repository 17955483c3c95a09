"""How two sessions open, stay open and end, also after a protocol error."""

from __future__ import annotations

import msgpack
import pytest

from common.errors import Cancelled, LinkLost, NotAllowed, PeerSilent, VersionMismatch
from common.rpc.frames import (
    MAX_CREDIT,
    MAX_EVENT_BYTES,
    Call,
    Cancel,
    Credit,
    Done,
    Event,
    Frame,
    Item,
    encode,
)
from common.rpc.session import Limits, Session
from common.rpc.session_events import CallFailed, Ended, EventArrived, HandlerCancelled, HandlerRequested, Opened
from tests.unit.support.rpc_session_pair import METHODS, Pair, hello, pair


@pytest.fixture
def link() -> Pair:
    return pair()


def test_both_sides_open_after_both_hellos() -> None:
    link = pair(versions=(1, 3))
    assert link.here.last(Opened).peer.name == "there"
    assert link.there.last(Opened).version == 1


def test_both_sides_report_a_version_mismatch() -> None:
    link = pair(versions=(2, 3))
    errors = [end.last(Ended).error for end in (link.here, link.there)]
    assert all(isinstance(error, VersionMismatch) for error in errors)
    assert "here) supports protocol versions 1 to 1" in str(errors[0])
    assert "there) 2 to 3" in str(errors[0])


def test_an_item_beyond_the_credit_is_a_protocol_error(link: Pair) -> None:
    link.call("list", window=1)
    for _ in range(2):
        link.here.session.receive(encode(Item(id=1)), 0.0)
    link.settle()
    assert "beyond its credit" in link.here.last(Ended).error.message
    assert isinstance(link.there.last(Ended).error, LinkLost)


def test_events_arrive_in_order_without_a_response(link: Pair) -> None:
    for number in range(3):
        link.here.session.event("host.event", number)
    link.settle()
    assert [event.body for event in link.there.all(EventArrived)] == [0, 1, 2]


def test_an_idle_link_gets_a_ping_and_then_ends(link: Pair) -> None:
    call_id = link.call(deadline_s=600)
    link.now = 20.0
    link.here.session.tick(20.0)
    frames, _ = link.here.session.drain()
    assert len(frames) == 1  # a ping, which is never delivered
    link.here.session.tick(40.0)
    assert link.here.session.is_open
    link.here.session.tick(45.0)
    link.settle()
    assert "no data from the peer for 45 s" in link.here.last(Ended).error.message
    assert isinstance(link.here.last(Ended).error, PeerSilent)
    assert link.here.last(CallFailed).call_id == call_id


def test_a_link_that_answers_pings_stays_open(link: Pair) -> None:
    for _ in range(20):
        link.pass_time(15.0)
    assert link.here.session.is_open
    assert link.there.session.is_open


def test_a_peer_that_sends_no_hello_is_disconnected() -> None:
    session = Session(hello=hello("here"), methods={}, limits=Limits(), now=0.0)
    assert session.next_tick_at() == 10.0
    session.tick(10.0)
    assert "no hello" in str(session.error)


def test_the_end_of_a_link_fails_its_calls_and_cancels_its_handlers() -> None:
    link = pair(max_calls=2)
    call_ids = {link.call(deadline_s=100) for _ in range(4)}
    link.here.session.end(LinkLost("the connection was lost"))
    link.there.session.end(LinkLost("the connection was lost"))
    link.settle()
    failed = link.here.all(CallFailed)
    assert {failure.call_id for failure in failed} == call_ids
    assert len({id(failure.error) for failure in failed}) == 4
    assert {unwanted.call_id for unwanted in link.there.all(HandlerCancelled)} == {1, 2}
    link.there.session.done(1, "too late")
    link.there.session.fail(2, Cancelled("stopped"))
    assert link.at_rest()
    assert link.here.session.next_tick_at() is None
    with pytest.raises(LinkLost, match="the connection was lost"):
        link.here.session.call(0.0, "echo", None, deadline_s=1)


def test_a_rejected_peer_receives_the_reason(link: Pair) -> None:
    link.call()
    link.there.session.close(NotAllowed("this rack was removed"))
    link.settle()
    assert isinstance(link.here.last(Ended).error, NotAllowed)
    failed = link.failure
    assert isinstance(failed, LinkLost)
    assert "removed" in failed.message


def test_a_link_can_limit_its_total_calls() -> None:
    link = pair(limits=Limits(max_total_calls=1, takes_events=False))
    link.call()
    link.there.session.done(1, None)
    link.call()
    assert isinstance(link.failure, NotAllowed)
    link.here.session.event("hello", None)
    link.settle()
    assert link.there.last(Ended)


@pytest.mark.parametrize(
    "frame",
    [Done(id=99), Item(id=99), Call(id=0, method="echo", left_ms=1), hello("twice")],
    ids=lambda frame: type(frame).__name__,
)
def test_an_unexpected_frame_is_a_protocol_error(link: Pair, frame: Frame) -> None:
    link.here.session.receive(encode(frame), 0.0)
    link.settle()
    assert "protocol error" in link.here.last(Ended).error.message
    assert isinstance(link.there.last(Ended).error, LinkLost)


@pytest.mark.parametrize("frame", [Cancel(id=2), Credit(id=2, amount=1), Call(id=1, method="echo", left_ms=1)])
def test_a_frame_about_no_call_or_a_call_again_is_a_protocol_error(link: Pair, frame: Frame) -> None:
    link.call()
    link.respond(1)
    link.there.session.receive(encode(frame), 0.0)
    assert "protocol error" in str(link.there.session.error)
    assert len(link.there.all(HandlerRequested)) == 1


@pytest.mark.parametrize("frame", [Cancel(id=1), Credit(id=1, amount=1)])
def test_a_frame_that_crosses_the_end_of_its_call_is_ignored(link: Pair, frame: Frame) -> None:
    link.call()
    link.respond(1)
    link.there.session.receive(encode(frame), 0.0)
    assert link.there.session.is_open


@pytest.mark.parametrize(("more", "is_open"), [(MAX_CREDIT - 4, True), (MAX_CREDIT - 3, False)])
def test_the_credit_of_a_stream_is_limited(link: Pair, more: int, *, is_open: bool) -> None:
    call_id = link.call("list", window=4)
    link.there.session.receive(encode(Credit(id=call_id, amount=more)), 0.0)
    assert link.there.session.is_open is is_open


@pytest.mark.parametrize(("excess", "is_open"), [(0, True), (1, False)])
def test_an_event_of_the_largest_size_is_accepted(link: Pair, excess: int, *, is_open: bool) -> None:
    overhead = len(encode(Event(name="e", body="x" * 60_000))) - 60_000
    body = "x" * (MAX_EVENT_BYTES - overhead + excess)
    frame = msgpack.packb({"kind": "event", "name": "e", "body": body})  # `encode` rejects a longer one
    assert len(frame) == MAX_EVENT_BYTES + excess
    link.there.session.receive(frame, 0.0)
    assert link.there.session.is_open is is_open


def test_a_call_before_the_hello_is_a_protocol_error() -> None:
    session = Session(hello=hello("here"), methods=METHODS, limits=Limits(), now=0.0)
    session.receive(encode(Call(id=1, method="echo", left_ms=1)), 0.0)
    assert "before the hello" in str(session.error)
