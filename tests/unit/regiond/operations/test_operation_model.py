"""The transition table of operations, for every state and event, and the retry delays."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import WrongState
from regiond.operations.model import NEXT, OPEN_STATES, OperationEvent, OperationState, advance, retry_delay_s

S, E = OperationState, OperationEvent
TRANSITIONS = {
    S.QUEUED: {E.STARTED: S.RUNNING, E.CANCEL_REQUESTED: S.UNDOING},
    S.RUNNING: {
        E.STARTED: S.RUNNING,
        E.UNREACHABLE: S.WAITING,
        E.SUSPENDED: S.RUNNING,
        E.FINISHED: S.SUCCEEDED,
        E.REJECTED: S.UNDOING,
        E.CANCEL_REQUESTED: S.UNDOING,
    },
    S.WAITING: {E.STARTED: S.RUNNING, E.CANCEL_REQUESTED: S.UNDOING},
    S.UNDOING: {
        E.STARTED: S.UNDOING,
        E.UNREACHABLE: S.UNDOING,
        E.SUSPENDED: S.UNDOING,
        E.UNDONE: S.FAILED,
        E.UNDONE_AFTER_CANCEL: S.CANCELLED,
        E.RESCHEDULED: S.QUEUED,
    },
    S.SUCCEEDED: {},
    S.FAILED: {},
    S.CANCELLED: {},
}


@pytest.mark.parametrize(("state", "event"), list(product(S, E)), ids=str)
def test_each_state_accepts_exactly_the_events_of_the_table(state: OperationState, event: OperationEvent) -> None:
    next_state = TRANSITIONS[state].get(event)
    if next_state is not None:
        assert advance(state, event) is next_state
        return
    with pytest.raises(WrongState, match=f"{state}.*{event}") as rejected:
        advance(state, event)
    assert rejected.value.details == {"state": state.value}


def test_no_event_leaves_an_ended_state() -> None:
    assert not [pair for pair in NEXT if pair[0].ended]
    assert {state for state in S if state.ended} == {S.SUCCEEDED, S.FAILED, S.CANCELLED} == {*S} - {*OPEN_STATES}


def test_every_open_state_can_reach_an_ended_state() -> None:
    for state in S:
        reached = {state}
        while more := {next_state for (before, _), next_state in NEXT.items() if before in reached} - reached:
            reached |= more
        assert any(one.ended for one in reached), state


def test_an_undone_operation_can_succeed_only_after_rescheduling() -> None:
    assert S.SUCCEEDED not in {next_state for (before, _), next_state in NEXT.items() if before is S.UNDOING}
    assert {event for (before, event), next_state in NEXT.items() if next_state is S.QUEUED} == {E.RESCHEDULED}


@given(failures=st.integers(min_value=0, max_value=10**6), jitter=st.floats(min_value=0, max_value=1))
def test_a_retry_delay_is_between_0_375_and_37_5_seconds(failures: int, jitter: float) -> None:
    assert 0.375 <= retry_delay_s(failures, jitter) <= 37.5


@given(failures=st.integers(min_value=0, max_value=1000), jitter=st.floats(min_value=0, max_value=1))
def test_more_failures_never_shorten_the_delay(failures: int, jitter: float) -> None:
    assert retry_delay_s(failures, jitter) <= retry_delay_s(failures + 1, jitter)


@pytest.mark.parametrize(("failures", "delay_s"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (500, 30.0)])
def test_the_delay_doubles_up_to_30_seconds(failures: int, delay_s: float) -> None:
    assert retry_delay_s(failures, 0.5) == delay_s
