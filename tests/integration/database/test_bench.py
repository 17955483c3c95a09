"""The benchmarks run at a minimal size with a correct ledger; table, profile and page show what they measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regiond.db.pool import connect
from tests.bench import growth
from tests.bench.lines import Against, Line, table
from tests.bench.machine import Machine
from tests.bench.measuring import Bench, timed
from tests.bench.profiling import watched
from tests.bench.report import NOT_MEASURED, Report, page

MACHINE = Machine(
    cpu="A CPU",
    cores=2,
    memory_gib=4.0,
    kernel="6.1",
    postgresql="18.4 (fsync on)",
    python="3.11",
    load=0.1,
    commit="c0",
)
MISSED = Line(
    key="claims.named",
    what="place + claim",
    wanted="≥ 1000/s",
    measured="10/s",
    good=False,
    against=Against(what="one global lock", measured="5/s", ratio=2.0),
)


@pytest.mark.slow
async def test_each_growth_benchmark_also_measures_its_baseline(tmp_path: Path, postgres_server: str) -> None:
    bench = Bench(folder=tmp_path, server_dsn=postgres_server, quick=True, toy=True)
    curves = {curve.key: curve for curve in await growth.measure(bench)}
    assert set(curves) == {"claim", "dry", "list", "sweep"}
    assert all(curve.ours.keys() == {4} and all(ms > 0 for ms in curve.ours.values()) for curve in curves.values())
    assert {key for key, curve in curves.items() if curve.simple.keys() == {4}} == {"claim", "dry", "list"}


async def test_a_profile_shows_functions_and_database_of_each_measurement(postgres_server: str) -> None:
    output: list[str] = []

    async def work(number: int) -> None:
        db = await connect(postgres_server, application_name="test")
        await db.close()

    with watched(postgres_server, output.append):
        await timed(work, 3, callers=2)
    await timed(work, 1)
    (text,) = output
    assert f"profile of {__name__}." in text
    assert "of PostgreSQL" in text
    assert "pool.py" in text


def test_a_missed_goal_is_printed_with_its_ratio_to_the_baseline() -> None:
    assert table([MISSED]).splitlines() == [
        "missed  place + claim (wanted: ≥ 1000/s)",
        "        10/s",
        "        2.0 × one global lock: 5/s",
    ]


def test_the_page_needs_only_the_json_and_lists_what_was_not_measured() -> None:
    curve = growth.Curve(key="dry", what="dry run", simple_way="reading all", ours={10: 1.5}, simple={10: 3.0})
    report = Report(
        machine=MACHINE,
        date="2026-11-20",
        took_s=3.0,
        quick=True,
        lines=[MISSED],
        curves=[curve],
        skipped=["lxd: none"],
    )
    assert report.missed == (MISSED,)
    plain = report.plain()
    output = page(json.loads(json.dumps(plain)))
    assert output == page(plain)
    assert "**missed** | 2.0 × one global lock: 5/s |" in output
    assert "| dry run (reading all) | 1.5 (3.0) |" in output
    assert all(f"- {reason}" in output for reason in (*NOT_MEASURED, "lxd: none"))
