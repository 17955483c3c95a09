"""`./dev bench ui` measures every page and the way of an event; whether a figure is good depends on the machine."""

from __future__ import annotations

from pathlib import Path

from tests.bench.figures import ui
from tests.bench.figures.ui import MAX_SENT_KB
from tests.bench.measuring import Bench


async def test_the_benchmark_measures_each_page_and_the_budgets(tmp_path: Path, postgres_server: str) -> None:
    bench = Bench(folder=tmp_path, server_dsn=postgres_server, quick=True, toy=True)
    found = {line.key: line for line in await ui.measure(bench)}
    pages = ("overview", "hosts", "host", "vms", "vm", "tasks", "compose")
    assert {*found} == {f"ui.{key}" for key in (*pages, "preview", "event", "libraries", "scripts", "css", "css.gzip")}
    for key in pages:
        numbers = found[f"ui.{key}"].numbers
        assert 1 < numbers["sent_kb"] <= MAX_SENT_KB
        assert numbers["sent_kb"] < numbers["html_kb"]
        assert 0 < numbers["server_p50_ms"] < numbers["render_p50_ms"]
    assert found["ui.vms"].numbers["swap_p50_ms"] > 0
    assert found["ui.event"].numbers["event_p50_ms"] > 0
    for key in ("libraries", "scripts", "css", "css.gzip"):
        assert found[f"ui.{key}"].good, found[f"ui.{key}"]
