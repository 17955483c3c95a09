"""Fencing tokens reject calls of older attempts and operations on a machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StaleAttempt
from common.rpc.commands.host_commands import Fence
from rackd.fencing_tokens import FencingTokens


def fence(operation_id: int, attempt: int, machine_id: str = "m") -> Fence:
    return Fence(machine_id=machine_id, operation_id=operation_id, attempt=attempt)


def test_only_the_newest_attempt_may_repeat() -> None:
    fences = FencingTokens()
    fences.admit(fence(1, 2))
    fences.admit(fence(1, 2))
    with pytest.raises(StaleAttempt, match="Attempt 1 of operation 1 on machine m is stale: attempt 2"):
        fences.admit(fence(1, 1))


def test_later_operations_are_newer_at_any_attempt() -> None:
    fences = FencingTokens()
    fences.admit(fence(1, 9))
    fences.admit(fence(2, 1))
    with pytest.raises(StaleAttempt):
        fences.check(fence(1, 10))


def test_machines_do_not_fence_each_other() -> None:
    fences = FencingTokens()
    fences.admit(fence(5, 5, "a"))
    fences.admit(fence(1, 1, "b"))


def test_check_records_nothing() -> None:
    fences = FencingTokens()
    fences.check(fence(9, 9))
    fences.admit(fence(1, 1))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_admitted_attempts_never_decrease(attempts: list[tuple[int, int]]) -> None:
    fences = FencingTokens()
    admitted = []
    for operation_id, attempt in attempts:
        try:
            fences.admit(fence(operation_id, attempt))
        except StaleAttempt:
            continue
        admitted.append((operation_id, attempt))
    assert admitted == sorted(admitted)
    assert not attempts or admitted[-1] == max(attempts)


def test_only_the_most_recent_machines_are_recorded() -> None:
    fences = FencingTokens(size=2)
    for machine in ("a", "b", "a", "c"):
        fences.admit(fence(3, 3, machine))
    assert len(fences) == 2
    fences.admit(fence(1, 1, "b"))
    with pytest.raises(StaleAttempt):
        fences.admit(fence(1, 1, "c"))
