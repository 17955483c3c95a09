"""The pure parts of the crash matrix: possible cells, stored results, tables and the page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.faults.cells import Cell, CellResult, Victim
from tests.faults.matrix.cell_runs import Filter
from tests.faults.matrix.kind_rows import rows_in, rows_of, totals
from tests.faults.matrix.page import text
from tests.faults.matrix.points import Place, Point, Side, cells_of, why_not
from tests.faults.matrix.results import Results, StoredResult
from tests.faults.matrix.table import every_point, of_kinds, of_times, reasons, summary

_V = Victim


def point(place: Place, side: Side = Side.AFTER) -> Point:
    return Point(label=f"{place} 1", place=place, side=side)


def result(cell_name: str, victim: Victim, *faults: str, skipped: str | None = None, took_s: float = 0.5) -> CellResult:
    kind, _, at = cell_name.partition("/")
    cell = Cell(kind=kind, point=at, victim=victim)
    return CellResult(cell=cell, outcome="succeeded", recovered_s=took_s, faults=faults, skipped=skipped)


RESULTS = (
    result("compose/commit 1 before", _V.REGION),
    result("compose/commit 1 before", _V.RACK, "guest without machine: web", took_s=3.0),
    result("compose/commit 1 before", _V.ANSWER, skipped="nothing to lose"),
    result("compose/acquire after", _V.REGION, took_s=1.5),
    result("delete/acquire after", _V.HOST),
)


def killable(place: Place, side: Side) -> set[Victim]:
    return {victim for victim in Victim if why_not(point(place, side), victim) is None}


def test_every_victim_that_makes_sense_at_a_point_is_killed_there() -> None:
    in_database = set(Victim) - {_V.ANSWER}
    assert killable(Place.COMMIT, Side.BEFORE) == killable(Place.COMMIT, Side.AFTER) == in_database
    assert killable(Place.ACQUIRE, Side.AFTER) == in_database
    for place in (Place.CALL, Place.HOST):
        assert killable(place, Side.AFTER) == set(Victim) - {_V.CONNECTION}
        assert killable(place, Side.BEFORE) == set(Victim) - {_V.CONNECTION, _V.ANSWER}


def test_every_omitted_cell_has_a_reason() -> None:
    points = [point(place, side) for place in Place for side in Side]
    cells = cells_of("compose", points)
    assert len(cells) == len(points) * len(Victim)
    assert len({cell.name for cell, _ in cells}) == len(cells)
    assert all(why is None or len(why) > 20 for _, why in cells)


def test_filter_selects_cells_by_prefix() -> None:
    cell = Cell(kind="compose", point="commit 1 before", victim=_V.RACK)
    assert all(Filter(some)(cell) for some in ((), ("compose",), ("delete", "compose/commit 1")))
    assert not Filter(("compose/commit 2",))(cell)
    assert all(Filter((one,)).may_select("compose") for one in ("comp", "compose/acquire"))
    assert not Filter(("compose/acquire",)).may_select("delete")
    assert not Filter(("delete/",)).may_select("delete_more")


def test_the_table_shows_every_point_then_reasons_and_faults() -> None:
    head, first, second, third, _, *below = every_point(RESULTS).splitlines()
    assert head.split() == [victim.value for victim in Victim]
    assert first.split() == ["compose", "commit", "1", "before", "●", "✗", "\N{EN DASH}"]
    assert second.split() == ["compose", "acquire", "after", "●"]
    assert third.split() == ["delete", "acquire", "after", "●"]
    assert third.index("●") == head.index("host")
    assert below == [
        "\N{EN DASH} answer: nothing to lose (1 cell)",
        "✗ compose/commit 1 before/rack: succeeded",
        "    guest without machine: web",
    ]


def test_tables_count_kinds_times_and_reasons() -> None:
    (compose, delete), dash = of_kinds(RESULTS), "\N{EN DASH}"
    assert compose == ["compose", "● 2", "✗ 0 of 1", *[dash] * 5]
    assert delete == ["delete", *[dash] * 4, "● 1", *[dash] * 2]
    assert of_times(RESULTS) == [["region", "2", "0.50", "1.50"], ["host", "1", "0.50", "0.50"]]
    assert reasons(RESULTS) == [("nothing to lose", "answer", 1)]
    assert summary(RESULTS).startswith("4 cells tried, 3 green, 1 red; 1 not tried")


def test_green_cells_are_not_tried_again(tmp_path: Path) -> None:
    stored = Results(tmp_path / "faults" / "results.jsonl")
    for one in RESULTS:
        stored.add(one)
    known = Results(tmp_path / "faults" / "results.jsonl")
    assert known.done(real=False) == {one.cell.name for one in RESULTS if not one.faults and not one.skipped}
    assert known.done(real=True) == frozenset()
    known.add(result("compose/commit 1 before", _V.RACK))
    newest = Results(tmp_path / "faults" / "results.jsonl")
    (again,) = newest.of(["compose/commit 1 before/rack", "unknown"], real=False)
    assert again.result.faults == ()
    assert Results(tmp_path / "faults" / "results.jsonl", again=True).all(real=False) == []


def test_the_page_names_dates_and_red_cells_and_separates_real_ones() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    stored = [StoredResult(at=at, result=one) for one in RESULTS]
    page = text(stored, [])
    assert "Tried on 20 November 2026 on " in page
    assert "**compose/commit 1 before/rack** is red: guest without machine: web" in page
    assert "real processes\n" not in page
    assert "## A sample, with real processes" in text(stored, stored[:1])
    assert "## Every point" not in text([], stored[:1])


def test_a_row_says_when_and_on_which_commit_its_kind_was_tried() -> None:
    days = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in (20, 21)]
    stored = [StoredResult(at=days[0], result=one, commit="0123abc") for one in RESULTS[:3]]
    stored += [
        StoredResult(at=days[1], result=RESULTS[3], commit="4567def"),
        StoredResult(at=days[1], result=RESULTS[4]),
    ]
    rows = rows_of(stored)
    assert rows["compose"][-3:] == ["2 of 3", "20 November 2026 to 21 November 2026", "0123abc, 4567def"]
    assert rows["delete"][-3:] == ["1 of 1", "21 November 2026", "not recorded"]


def test_the_rows_of_other_kinds_stay_with_their_day_and_commit() -> None:
    first = [StoredResult(at=datetime(2026, 11, 20, tzinfo=UTC), result=one, commit="0123abc") for one in RESULTS]
    before = text(first, [])
    again = result("delete/acquire after", _V.RACK)
    newer = [StoredResult(at=datetime(2026, 11, 22, tzinfo=UTC), result=again, commit="4567def")]
    page = text(newer, [], before=before, others=["compose", "delete"])
    rows = rows_in(page)
    assert rows == {**rows_of(first), **rows_of(newer)}
    assert list(rows) == ["compose", "delete"]
    assert totals(rows.values()) == (3, 4)
    assert "1 cell tried, 1 green, 0 red" in page
    assert "with them 4 cells were tried, 3 green." in page
    assert "have no row" not in page
    assert list(rows_in(text(newer, [], before=before, others=["delete"]))) == ["delete"]  # compose is no kind any more
    untried = text(newer, [], before=before, others=["add_disk", "compose", "delete", "resize"])
    assert "Not every cell was tried of `add_disk`, `resize`: they have no row." in untried


def test_the_sample_has_a_row_for_each_hypervisor_and_keeps_the_others() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    points = ("half done (LXD)", "half done (Incus)", "before the intent is committed (processes)")
    lxd, incus, plain = (StoredResult(at=at, result=result(f"compose/{point}", _V.RACK)) for point in points)
    before = text([], [lxd, plain])
    assert list(rows_in(before)) == ["compose on LXD", "compose"]
    page = text([], [incus], before=before, keep_sample=True)
    assert {kind: row for kind, row in rows_in(page).items() if kind in rows_in(before)} == rows_in(before)
    assert list(rows_in(page)) == ["compose on LXD", "compose", "compose on Incus"]
    assert "with them 3 cells were tried, 3 green" in page


def test_the_page_keeps_a_section_without_new_results() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    stored = [StoredResult(at=at, result=one) for one in RESULTS]
    page = text(stored[:2], stored[3:])
    assert text(stored[:2], [], before=page) == page
    assert text([], stored[3:], before=page) == page
    assert text([], stored[:1], before=text([], stored[3:])) == text([], stored[:1])
