"""Cells of the real sample that no other test covers; `./dev faults --real` tries all."""

from __future__ import annotations

from tests.faults.real import run

CELLS = (
    "allocate_ready/before the intent is committed (simulated)/region",
    "join_rack/done and the answer in transit (processes)/answer",
)


def test_kills_around_a_commit_and_an_answer_are_survived() -> None:
    tried = list(run(CELLS))
    assert {result.cell.name for result in tried} == set(CELLS)
    assert [result for result in tried if result.faults or result.skipped] == []
