"""Deadlines are returned in order and purged from memory."""

from __future__ import annotations

from common.rpc.deadlines import Deadlines


def test_due_keys_are_returned_once_in_order() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for key, at in (("late", 9.0), ("early", 1.0), ("middle", 5.0)):
        deadlines.set(key, at)
    assert deadlines.next_at() == 1.0
    assert deadlines.take_due(5.0) == ["early", "middle"]
    assert deadlines.take_due(5.0) == []
    assert deadlines.next_at() == 9.0


def test_a_removed_deadline_is_never_due() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.remove("a")
    deadlines.remove("a")
    assert deadlines.next_at() is None
    assert deadlines.take_due(10.0) == []


def test_a_moved_deadline_is_due_at_its_new_time_only() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.set("a", 5.0)
    assert deadlines.take_due(2.0) == []
    assert deadlines.take_due(5.0) == ["a"]


def test_removed_deadlines_are_purged_from_memory() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key in range(10_000):
        deadlines.set(key, 1000.0 + key)
        deadlines.remove(key)
    assert len(deadlines) == 0
    assert deadlines.stored_entries < 100
