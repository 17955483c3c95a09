"""What the crash matrix decides without anybody dying: who can die where, and how results are told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.faults.cells import Cell, CellResult, Victim
from tests.faults.matrix.page import text
from tests.faults.matrix.points import Point, Side, Where, cells_of, why_not
from tests.faults.matrix.results import Kept, Results
from tests.faults.matrix.running import Wanted
from tests.faults.matrix.table import every_point, of_kinds, of_times, reasons, summary

_V = Victim


def point(where: Where, side: Side = Side.AFTER) -> Point:
    return Point(label=f"{where} 1", where=where, side=side)


def result(place: str, victim: Victim, *faults: str, skipped: str | None = None, took_s: float = 0.5) -> CellResult:
    kind, _, where = place.partition("/")
    cell = Cell(kind=kind, point=where, victim=victim)
    return CellResult(cell=cell, outcome="succeeded", recovered_s=took_s, faults=faults, skipped=skipped)


RESULTS = (
    result("compose/commit 1 before", _V.REGION),
    result("compose/commit 1 before", _V.RACK, "a guest that no machine has: web", took_s=3.0),
    result("compose/commit 1 before", _V.ANSWER, skipped="nothing to lose"),
    result("compose/take after", _V.REGION, took_s=1.5),
    result("delete/take after", _V.HOST),
)


def can_die(where: Where, side: Side) -> set[Victim]:
    return {victim for victim in Victim if why_not(point(where, side), victim) is None}


def test_every_victim_that_makes_sense_at_a_point_dies_there() -> None:
    in_database = set(Victim) - {_V.ANSWER}
    assert can_die(Where.COMMIT, Side.BEFORE) == can_die(Where.COMMIT, Side.AFTER) == in_database
    assert can_die(Where.TAKE, Side.AFTER) == in_database
    for where in (Where.CALL, Where.HOST):
        assert can_die(where, Side.AFTER) == set(Victim) - {_V.CONNECTION}
        assert can_die(where, Side.BEFORE) == set(Victim) - {_V.CONNECTION, _V.ANSWER}


def test_no_cell_is_left_out_without_a_reason() -> None:
    points = [point(where, side) for where in Where for side in Side]
    cells = cells_of("compose", points)
    assert len(cells) == len(points) * len(Victim)
    assert len({cell.name for cell, _ in cells}) == len(cells)
    assert all(why is None or len(why) > 20 for _, why in cells)


def test_only_what_begins_so_is_wanted() -> None:
    cell = Cell(kind="compose", point="commit 1 before", victim=_V.RACK)
    assert all(Wanted(some)(cell) for some in ((), ("compose",), ("delete", "compose/commit 1")))
    assert not Wanted(("compose/commit 2",))(cell)
    assert all(Wanted((one,)).may_be_of("compose") for one in ("comp", "compose/take"))
    assert not Wanted(("compose/take",)).may_be_of("delete")
    assert not Wanted(("delete/",)).may_be_of("delete_more")


def test_the_table_shows_every_point_then_reasons_and_faults() -> None:
    head, first, second, third, _, *below = every_point(RESULTS).splitlines()
    assert head.split() == [victim.value for victim in Victim]
    assert first.split() == ["compose", "commit", "1", "before", "●", "✗", "\N{EN DASH}"]
    assert second.split() == ["compose", "take", "after", "●"]
    assert third.split() == ["delete", "take", "after", "●"]
    assert third.index("●") == head.index("host")
    assert below == [
        "\N{EN DASH} answer: nothing to lose (1 cells)",
        "✗ compose/commit 1 before/rack: succeeded",
        "    a guest that no machine has: web",
    ]


def test_kinds_times_and_reasons_are_counted() -> None:
    (compose, delete), dash = of_kinds(RESULTS), "\N{EN DASH}"
    assert compose == ["compose", "● 2", "✗ 0 of 1", *[dash] * 5]
    assert delete == ["delete", *[dash] * 4, "● 1", *[dash] * 2]
    assert of_times(RESULTS) == [["region", "2", "0.50", "1.50"], ["host", "1", "0.50", "0.50"]]
    assert reasons(RESULTS) == [("nothing to lose", "answer", 1)]
    assert summary(RESULTS).startswith("4 cells tried, 3 green, 1 red; 1 not tried")


def test_what_was_green_is_not_tried_again(tmp_path: Path) -> None:
    kept = Results(tmp_path / "faults" / "results.jsonl")
    for one in RESULTS:
        kept.add(one)
    known = Results(tmp_path / "faults" / "results.jsonl")
    assert known.done(real=False) == {one.cell.name for one in RESULTS if not one.faults and not one.skipped}
    assert known.done(real=True) == frozenset()
    known.add(result("compose/commit 1 before", _V.RACK))
    newest = Results(tmp_path / "faults" / "results.jsonl")
    (again,) = newest.of(["compose/commit 1 before/rack", "unknown"], real=False)
    assert again.result.faults == ()
    assert Results(tmp_path / "faults" / "results.jsonl", again=True).all(real=False) == []


def test_the_page_tells_when_and_what_was_red_and_keeps_real_ones_apart() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    here = [Kept(at=at, result=one) for one in RESULTS]
    page = text(here, [])
    assert "Tried on 20 November 2026 on " in page
    assert "**compose/commit 1 before/rack** is red: a guest that no machine has: web" in page
    assert "real processes\n" not in page
    assert "## A sample, with real processes" in text(here, here[:1])
    assert "## Every point" not in text([], here[:1])
