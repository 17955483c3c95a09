"""Cells of the sample on real processes that no other test here is about; `./dev faults --real` tries all."""

from __future__ import annotations

from tests.faults.real import run

CELLS = (
    "allocate/before its intent is committed (simulated)/region",
    "join_rack/done and the answer on its way (processes)/answer",
)


def test_whoever_is_killed_around_a_commit_or_an_answer_all_is_well_again() -> None:
    tried = list(run(CELLS))
    assert {result.cell.name for result in tried} == set(CELLS)
    assert [result for result in tried if result.faults or result.skipped] == []
