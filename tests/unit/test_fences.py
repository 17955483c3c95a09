from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StaleAttempt
from common.rpc.commands import Fence
from rackd.fences import Fences


def fence(operation_id: int, attempt: int, machine_id: str = "m") -> Fence:
    return Fence(machine_id=machine_id, operation_id=operation_id, attempt=attempt)


def test_the_newest_attempt_may_be_repeated_and_an_older_one_may_not() -> None:
    fences = Fences()
    fences.admit(fence(1, 2))
    fences.admit(fence(1, 2))
    with pytest.raises(StaleAttempt, match="attempt 1 of operation 1 on machine m comes too late: attempt 2"):
        fences.admit(fence(1, 1))


def test_a_later_operation_is_newer_whatever_its_attempt() -> None:
    fences = Fences()
    fences.admit(fence(1, 9))
    fences.admit(fence(2, 1))
    with pytest.raises(StaleAttempt):
        fences.check(fence(1, 10))


def test_machines_do_not_fence_each_other() -> None:
    fences = Fences()
    fences.admit(fence(5, 5, "a"))
    fences.admit(fence(1, 1, "b"))


def test_a_check_remembers_nothing() -> None:
    fences = Fences()
    fences.check(fence(9, 9))
    fences.admit(fence(1, 1))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_what_is_admitted_never_goes_back(asked: list[tuple[int, int]]) -> None:
    fences = Fences()
    admitted = []
    for operation_id, attempt in asked:
        try:
            fences.admit(fence(operation_id, attempt))
        except StaleAttempt:
            continue
        admitted.append((operation_id, attempt))
    assert admitted == sorted(admitted)
    assert not asked or admitted[-1] == max(asked)


def test_memory_is_bounded_and_loses_the_machine_acted_on_longest_ago() -> None:
    fences = Fences(size=2)
    for machine in ("a", "b", "a", "c"):
        fences.admit(fence(3, 3, machine))
    assert len(fences) == 2
    fences.admit(fence(1, 1, "b"))
    with pytest.raises(StaleAttempt):
        fences.admit(fence(1, 1, "c"))
