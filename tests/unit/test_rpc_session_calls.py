"""Calls and streams between two sessions: answers, errors, cancelling, deadlines, limits and credit."""

from __future__ import annotations

import pytest

from common.errors import Busy, Cancelled, DeadlineExceeded, DriverFailed, InnkeeperError, InternalError, Unsupported
from common.rpc.frames import Call, Unsendable, encode
from common.rpc.outgoing import MAX_WAITING_CALLS
from common.rpc.outputs import CallDone, CallFailed, CreditArrived, HandlerUnwanted, HandlerWanted, ItemArrived
from common.rpc.session import Limits
from tests.unit.rpc_session_pair import pair


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
