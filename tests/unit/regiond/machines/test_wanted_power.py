"""Why a machine that should run is off, and in which order the machines of a host start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from regiond.machines.power.wanted_power.model import (
    MOST_AT_ONCE,
    STAYS_OFF,
    Progress,
    Stopped,
    ToStart,
    Verdict,
    due,
    verdict,
)

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ALONE = Stopped(
    machine_id=1, system_id="web", hostname="web", host_id=1, host_name="elm", off_at=NOON, lost_at=None, back_at=None,
    runs=3, through=0, anew=0, together=1,
)  # fmt: skip
REBOOTED = evolve(ALONE, lost_at=NOON - 3 * MINUTE, back_at=NOON, runs=0)
FIRST = ToStart(machine_id=1, system_id="a", host_id=1, hostname="a", priority=5)


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_a_machine_that_was_found_off_when_its_host_was_back_went_with_it() -> None:
    assert verdict(REBOOTED, after(0)) is Verdict.HOST


def test_a_guest_that_runs_through_proves_that_the_host_did_not_restart() -> None:
    one = evolve(REBOOTED, runs=1, through=1)
    assert verdict(one, after(1)) is Verdict.UNDECIDED
    assert verdict(one, after(10)) is Verdict.STOPPED


def test_a_guest_that_stops_while_its_host_is_up_should_be_off_after_a_while() -> None:
    assert verdict(ALONE, after(9.9)) is Verdict.UNDECIDED, "its host may be shutting down"
    assert verdict(ALONE, after(10)) is Verdict.STOPPED


def test_what_stopped_before_its_host_was_lost_went_with_it_if_others_did() -> None:
    stopping = evolve(REBOOTED, lost_at=after(5), back_at=after(9))
    assert verdict(evolve(stopping, together=2), after(9)) is Verdict.HOST
    assert verdict(evolve(stopping, runs=2, anew=2), after(9)) is Verdict.HOST
    assert verdict(stopping, after(9)) is Verdict.UNCLEAR, "it may have been alone, and shut itself down"
    assert verdict(evolve(stopping, runs=2, together=2), after(9)) is Verdict.UNCLEAR, "libvirt reports no start"


def test_all_guests_off_together_without_an_outage_are_unclear() -> None:
    together = evolve(ALONE, runs=0, together=2)
    assert verdict(together, after(1)) is Verdict.UNDECIDED
    assert verdict(together, after(2)) is Verdict.UNCLEAR


def test_what_is_unclear_stays_so_until_its_host_was_lost() -> None:
    unclear = evolve(ALONE, runs=0, together=2, is_unclear=True)
    assert verdict(unclear, after(60)) is Verdict.UNDECIDED
    assert verdict(evolve(unclear, lost_at=after(1), back_at=after(3)), after(60)) is Verdict.HOST


def test_what_an_operation_hid_when_the_host_was_back_is_unclear() -> None:
    one = evolve(REBOOTED, back_at=after(-8), lost_at=after(-12), busy_until=after(-5), runs=2)
    assert verdict(one, after(0)) is Verdict.UNCLEAR
    assert verdict(evolve(one, through=1), after(0)) is Verdict.UNDECIDED
    assert verdict(evolve(one, busy_until=None), after(10)) is Verdict.STOPPED


@pytest.mark.parametrize("minutes", [-30, 30])
def test_another_outage_than_that_of_the_stop_does_not_count(minutes: int) -> None:
    lost = after(minutes)
    one = evolve(ALONE, lost_at=lost, back_at=lost + 2 * MINUTE, runs=0)
    assert verdict(one, after(60)) is Verdict.STOPPED


_TIMES = st.integers(-120, 120).map(after)
_STOPPED = st.builds(
    evolve, st.just(ALONE), lost_at=st.none() | _TIMES, back_at=_TIMES, runs=st.integers(0, 3),
    through=st.integers(0, 3), anew=st.integers(0, 3), together=st.integers(1, 3), is_unclear=st.booleans(),
)  # fmt: skip


@given(one=_STOPPED, age=st.integers(0, 600))
def test_only_an_outage_that_no_guest_outlived_starts_machines(one: Stopped, age: int) -> None:
    if verdict(one, after(age)) is Verdict.HOST:
        assert one.lost_at is not None
        assert not one.through


@given(one=_STOPPED)
def test_every_machine_is_decided_in_the_end(one: Stopped) -> None:
    assert verdict(one, NOON + STAYS_OFF) is not Verdict.UNDECIDED or one.is_unclear


def test_machines_of_the_highest_priority_start_first_together() -> None:
    second, other = evolve(FIRST, machine_id=2, hostname="b"), evolve(FIRST, machine_id=3, hostname="0", priority=1)
    assert due([other, second, FIRST], {}, NOON) == (FIRST, second)


def test_a_delay_holds_back_those_that_follow() -> None:
    slow, next_one = evolve(FIRST, delay_s=30), evolve(FIRST, machine_id=2, hostname="b")
    assert due([next_one, slow], {}, NOON) == (slow,)
    assert due([next_one], {1: Progress(open=1)}, NOON) == ()
    assert due([next_one], {1: Progress(next_at=after(0.5))}, NOON) == ()
    assert due([next_one], {1: Progress(next_at=after(0.5))}, after(0.5)) == (next_one,)


def test_a_host_starts_some_machines_at_once_and_others_do_not_wait_for_it() -> None:
    many = [evolve(FIRST, machine_id=number, hostname=f"{number:02}") for number in range(MOST_AT_ONCE + 1)]
    elsewhere = evolve(FIRST, machine_id=99, host_id=2)
    found = due([*many, elsewhere], {}, NOON)
    assert found == (*many[:MOST_AT_ONCE], elsewhere)
    assert due([*many, elsewhere], {1: Progress(open=1)}, NOON) == (elsewhere,)
