"""The life of an operation: every pair of state and turn, and how long it waits between tries."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import WrongState
from regiond.operations.model import NEXT, OperationState, Turn, advance, retry_delay_s

S, T = OperationState, Turn
MOVES = {
    S.QUEUED: {T.STARTED: S.RUNNING, T.CANCEL_ASKED: S.UNDOING},
    S.RUNNING: {
        T.STARTED: S.RUNNING,
        T.UNREACHABLE: S.WAITING,
        T.FINISHED: S.SUCCEEDED,
        T.REFUSED: S.UNDOING,
        T.CANCEL_ASKED: S.UNDOING,
    },
    S.WAITING: {T.STARTED: S.RUNNING, T.CANCEL_ASKED: S.UNDOING},
    S.UNDOING: {
        T.STARTED: S.UNDOING,
        T.UNREACHABLE: S.UNDOING,
        T.UNDONE: S.FAILED,
        T.UNDONE_AFTER_CANCEL: S.CANCELLED,
        T.SENT_ON: S.QUEUED,
    },
    S.SUCCEEDED: {},
    S.FAILED: {},
    S.CANCELLED: {},
}


@pytest.mark.parametrize(("state", "turn"), list(product(S, T)), ids=str)
def test_each_state_takes_the_turns_of_the_table_and_refuses_the_others(state: OperationState, turn: Turn) -> None:
    follows = MOVES[state].get(turn)
    if follows is not None:
        assert advance(state, turn) is follows
        return
    with pytest.raises(WrongState, match=f"{state}.*{turn}") as refused:
        advance(state, turn)
    assert refused.value.details == {"state": state.value}


def test_no_turn_leads_out_of_an_ended_state() -> None:
    assert not [pair for pair in NEXT if pair[0].ended]
    assert {state for state in S if state.ended} == {S.SUCCEEDED, S.FAILED, S.CANCELLED}


def test_every_open_state_can_still_end() -> None:
    for state in S:
        reached = {state}
        while more := {follows for (before, _), follows in NEXT.items() if before in reached} - reached:
            reached |= more
        assert any(one.ended for one in reached), state


def test_what_is_undone_succeeds_only_when_it_begins_anew() -> None:
    assert S.SUCCEEDED not in {follows for (before, _), follows in NEXT.items() if before is S.UNDOING}
    assert {turn for (before, turn), follows in NEXT.items() if follows is S.QUEUED} == {T.SENT_ON}


@given(failures=st.integers(min_value=0, max_value=10**6), jitter=st.floats(min_value=0, max_value=1))
def test_a_try_waits_at_least_three_eighths_of_a_second_and_never_forty(failures: int, jitter: float) -> None:
    assert 0.375 <= retry_delay_s(failures, jitter) <= 37.5


@given(failures=st.integers(min_value=0, max_value=1000), jitter=st.floats(min_value=0, max_value=1))
def test_more_failures_never_wait_less(failures: int, jitter: float) -> None:
    assert retry_delay_s(failures, jitter) <= retry_delay_s(failures + 1, jitter)


@pytest.mark.parametrize(("failures", "delay_s"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (500, 30.0)])
def test_the_wait_doubles_up_to_half_a_minute(failures: int, delay_s: float) -> None:
    assert retry_delay_s(failures, 0.5) == delay_s
