"""The heap of deadlines."""

from __future__ import annotations

from common.rpc.deadlines import Deadlines


def test_what_is_due_comes_out_in_its_order_and_once() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key, at in (("late", 9.0), ("early", 1.0), ("middle", 5.0)):
        deadlines.set(key, at)
    assert deadlines.next_at() == 1.0
    assert deadlines.take_due(5.0) == ["early", "middle"]
    assert deadlines.take_due(5.0) == []
    assert deadlines.next_at() == 9.0


def test_a_forgotten_one_never_comes() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.forget("a")
    deadlines.forget("a")
    assert deadlines.next_at() is None
    assert deadlines.take_due(10.0) == []


def test_a_moved_one_comes_at_its_new_time_only() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("a", 5.0)
    assert deadlines.take_due(2.0) == []
    assert deadlines.take_due(5.0) == ["a"]


def test_many_calls_with_long_deadlines_leave_no_memory_behind() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key in range(10_000):
        deadlines.set(key, 1000.0 + key)
        deadlines.forget(key)
    assert len(deadlines) == 0
    assert len(deadlines._heap) < 100
