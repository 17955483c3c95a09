"""Calls and streams between two sessions: responses, errors, cancellation, deadlines, limits, credit."""

from __future__ import annotations

import pytest

from common.errors import Busy, Cancelled, DeadlineExceeded, DriverFailed, InnkeeperError, InternalError, Unsupported
from common.rpc.frames import Call, Unsendable, encode
from common.rpc.outgoing import MAX_WAITING_CALLS
from common.rpc.session import Limits
from common.rpc.session_events import (
    CallDone,
    CallFailed,
    CreditArrived,
    HandlerCancelled,
    HandlerRequested,
    ItemArrived,
)
from tests.unit.support.rpc_session_pair import Pair, pair


@pytest.fixture
def link() -> Pair:
    return pair()


def test_a_call_gets_one_response_and_leaves_no_state(link: Pair) -> None:
    call_id = link.call(body={"a": [1, "x", None]})
    request = link.there.last(HandlerRequested)
    assert (request.method, request.body, request.streams) == ("echo", {"a": [1, "x", None]}, False)
    link.there.session.done(request.call_id, "answer")
    link.respond(request.call_id, "again")
    assert link.here.all(CallDone) == [CallDone(call_id=call_id, body="answer")]
    assert link.at_rest()


def test_both_sides_can_use_the_same_call_ids(link: Pair) -> None:
    for end in (link.here, link.there):
        assert end.session.call(0.0, "echo", None, deadline_s=5) == 1
    link.settle()
    link.here.session.done(1, "from here")
    link.respond(1, "from there")
    assert (link.here.last(CallDone).body, link.there.last(CallDone).body) == ("from there", "from here")
    assert link.at_rest()


def test_an_error_fails_its_call_with_type_and_details(link: Pair) -> None:
    link.call()
    link.fail(1, DriverFailed("rejected", host="h"))
    error = link.failure
    assert isinstance(error, DriverFailed)
    assert error.details == {"host": "h"}
    assert link.here.session.is_open


@pytest.mark.parametrize("details", [{"host": object()}, {"self": 1}, {"message": 1}], ids=["value", "self", "message"])
def test_details_that_cannot_be_sent_are_omitted(link: Pair, details: dict[str, object]) -> None:
    link.call()
    error = DriverFailed("rejected")
    error.details.update(details)
    link.fail(1, error)
    received = link.failure
    assert isinstance(received, DriverFailed)
    assert received.details == {}


def test_an_unknown_code_of_a_newer_peer_is_forwarded(link: Pair) -> None:
    link.call()
    link.fail(1, InnkeeperError("something new", code="brand_new"))
    assert link.failure.details["code"] == "brand_new"


def test_unknown_commands_and_wrong_streaming_are_unsupported(link: Pair) -> None:
    for method, window in (("unknown", 0), ("echo", 4), ("list", 0)):
        link.call(method, window=window)
        assert isinstance(link.failure, Unsupported)
    assert link.there.all(HandlerRequested) == []
    assert link.at_rest()


def test_a_response_too_large_for_a_frame_fails_its_call(link: Pair) -> None:
    link.call()
    link.respond(1, b"x" * 2_000_000)
    assert isinstance(link.failure, InternalError)
    assert link.at_rest()


def test_a_request_too_large_for_a_frame_fails_at_the_caller() -> None:
    link = pair(max_calls=1)
    for _ in range(2):  # the second one would wait for a slot
        with pytest.raises(Unsendable):
            link.here.session.call(0.0, "echo", object(), deadline_s=1)
        link.call()
    assert link.here.session.calls_out == 2


def test_a_cancelled_call_frees_its_slot_when_its_handler_ends(link: Pair) -> None:
    call_id = link.call()
    link.here.session.cancel(call_id)
    link.settle()
    assert link.there.all(HandlerCancelled) == [HandlerCancelled(call_id=call_id)]
    assert link.here.session.calls_out == 1
    link.fail(call_id, Cancelled("stopped"))
    assert not link.here.all(CallFailed)
    assert not link.here.all(CallDone)
    assert link.at_rest()


def test_a_cancel_that_crosses_with_the_response_is_ignored(link: Pair) -> None:
    call_id = link.call()
    link.there.session.done(call_id, 1)
    link.here.session.cancel(call_id)
    link.settle()
    assert link.here.session.is_open
    assert link.there.session.is_open
    assert link.at_rest()


def test_the_deadline_ends_a_call_on_both_sides(link: Pair) -> None:
    call_id = link.call(deadline_s=2.0)
    assert link.there.last(HandlerRequested).left_s == 2.0
    link.pass_time(2.0)
    assert isinstance(link.failure, DeadlineExceeded)
    assert link.there.last(HandlerCancelled).call_id == call_id
    link.respond(call_id, "too late")
    assert len(link.here.all(CallFailed)) == 1
    assert link.here.all(CallDone) == []
    assert link.at_rest()


def test_the_serving_side_enforces_the_deadline_too() -> None:
    link = pair(limits=Limits(max_deadline_s=1.0))
    call_id = link.call(deadline_s=60.0)
    link.pass_time(1.0)
    link.fail(call_id, Cancelled("stopped"))
    assert isinstance(link.failure, DeadlineExceeded)


def test_calls_beyond_the_limit_wait_within_their_deadline() -> None:
    link = pair(max_calls=2)
    for body in range(4):
        link.call(body=body, deadline_s=10.0)
    assert [request.body for request in link.there.all(HandlerRequested)] == [0, 1]
    link.pass_time(4.0)
    link.respond(1, None)
    assert link.there.last(HandlerRequested).body == 2
    assert link.there.last(HandlerRequested).left_s == 6.0
    link.here.session.cancel(4)
    for call_id in (2, 3):
        link.respond(call_id, None)
    assert len(link.there.all(HandlerRequested)) == 3
    assert link.at_rest()


def test_a_call_that_waits_past_its_deadline_is_never_sent() -> None:
    link = pair(max_calls=1)
    link.call(deadline_s=10.0)
    late = link.call(deadline_s=1.0)
    link.pass_time(1.0)
    assert link.here.last(CallFailed).call_id == late
    link.respond(1, None)
    assert len(link.there.all(HandlerRequested)) == 1
    assert link.at_rest()


def test_calls_beyond_the_own_limit_fail_as_busy() -> None:
    link = pair(max_calls=2)
    for number in (1, 2, 3):
        link.there.session.receive(encode(Call(id=number, method="echo", left_ms=1000)), 0.0)
    _, outputs = link.there.session.drain()
    assert len(outputs) == 2
    assert link.there.session.calls_in == 2


def test_too_many_waiting_calls_are_rejected() -> None:
    link = pair(max_calls=1)
    for _ in range(1 + MAX_WAITING_CALLS):
        link.here.session.call(0.0, "echo", None, deadline_s=5)
    with pytest.raises(Busy):
        link.here.session.call(0.0, "echo", None, deadline_s=5)


def test_a_stream_sends_within_its_credit(link: Pair) -> None:
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
    link.respond(call_id)
    assert link.here.last(CallDone).call_id == call_id
    assert link.at_rest()


def test_items_in_transit_of_a_cancelled_stream_are_dropped(link: Pair) -> None:
    call_id = link.call("list", window=4)
    link.there.session.item(call_id, 1)
    link.here.session.cancel(call_id)
    link.settle()
    assert link.here.all(ItemArrived) == []
    link.there.session.item(call_id, 2)
    link.fail(call_id, Cancelled("stopped"))
    assert link.at_rest()


@pytest.mark.parametrize(("excess", "is_taken"), [(0, True), (1, False)])
def test_requests_of_exactly_the_total_size_are_taken(excess: int, *, is_taken: bool) -> None:
    size = len(encode(Call(id=1, method="echo", left_ms=10_000, body="x" * 1000)))
    link = pair(limits=Limits(max_bytes_in_flight=size - excess))
    link.call(body="x" * 1000, deadline_s=10.0)
    assert len(link.there.all(HandlerRequested)) == is_taken


def test_the_requests_of_running_calls_have_a_total_size() -> None:
    link = pair(limits=Limits(max_bytes_in_flight=2500))
    first, _ = link.call(body="x" * 1000), link.call(body="x" * 1000)
    link.call(body="x" * 1000)
    assert isinstance(link.failure, Busy)
    assert "takes 2500 at once" in link.failure.message
    link.respond(first)
    link.call(body="x" * 1000)
    assert len(link.there.all(HandlerRequested)) == 3
