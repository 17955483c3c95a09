"""Writes the results of a soak test: JSON, a plot, and a page made from the JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict

from common.words.phrases import number_of
from tests.faults.soak.flatness import GROWTH, LEAST, MEASURES
from tests.faults.soak.soak import SoakReport

DOCS = Path(__file__).parents[3] / "docs"
PUBLISHED_MINUTES = 10.0  # a soak of this length is written to docs/
JSON_FILE, PLOT_FILE, PAGE_FILE = "faults/soak.json", "faults/soak.svg", "explanation/soak.md"


def as_json(report: SoakReport) -> dict[str, Any]:
    """A sample becomes a list: seconds, resident KiB, threads, open files."""
    data = asdict(report)
    for life in data["lives"]:
        life["samples"] = [[*sample.values()] for sample in life["samples"]]
        del life["pid"]
    return {"date": datetime.now(UTC).date().isoformat(), "good": report.is_good, **data}


def text(report: SoakReport) -> str:
    """Formats the report for a terminal."""
    operations = sum(report.operations.values())
    killed = ", ".join(f"{name} {times}" for name, times in sorted(report.kills.items())) or "none"
    return "\n".join(
        (
            f"{report.minutes:g} minutes with kills and {report.minutes / 2:g} without, on {report.where}: "
            f"{operations} operations of {report.callers} callers; killed: {killed} (seed {report.seed})",
            *(verdict.text for verdict in report.verdicts),
            *([] if report.verdicts else [f"no process lived for {LEAST} seconds, so growth was not checked"]),
            *report.faults,
            "consistent, and no process grows" if report.is_good else "NOT GOOD",
        )
    )


def write(data: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Writes JSON, plot and page into `folder`, laid out as `docs/`; returns the paths. Requires matplotlib."""
    from tests.faults.soak.soak_plot import draw

    paths = {name: folder / name for name in (JSON_FILE, PLOT_FILE, PAGE_FILE)}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    paths[JSON_FILE].write_text(json.dumps(data, ensure_ascii=False) + "\n")
    paths[PAGE_FILE].write_text(page(data))
    draw(data["lives"], paths[PLOT_FILE])
    return tuple(paths.values())


def page(data: Mapping[str, Any]) -> str:
    machine = data["machine"]
    return "\n".join(
        (
            "# Soak test",
            "",
            "*Written by `./dev faults --soak 10` from [soak.json](../faults/soak.json); do not edit.*",
            "",
            f"{data['date']}, commit {machine['commit']}: {machine['cores']} cores of {machine['cpu']}, "
            f"{machine['memory_gib']:.0f} GiB, Python {machine['python']}, PostgreSQL {machine['postgresql']}; "
            f"load before the run: {machine['load']:.1f}.",
            "",
            f"{data['callers']} callers compose, delete, switch, cancel and refresh continuously on "
            f"{data['where']}. For {data['minutes']:g} minutes a process is killed (`SIGKILL`) every 25 to 70 seconds; "
            "then the load runs half as long without kills. "
            f"{sum(data['operations'].values()):,} operations were created.",
            "",
            "Killed: "
            + ", ".join(f"{name} {number_of(times, 'time')}" for name, times in sorted(data["kills"].items()))
            + ".",
            "",
            *_outcome(data),
            "",
            "![Memory, threads and open files by second](../faults/soak.svg)",
            "",
            "## Growth",
            "",
            f"A process that lived for at least {LEAST} samples, one per second, is flat if the median of its last "
            f"quarter is at most {GROWTH:g} times that of its second quarter, or at most "
            + ", ".join(f"{slack:g} {measure}" for measure, (_, slack) in MEASURES.items())
            + " above it. The first quarter is ignored: modules are loaded and pools are filled.",
            "",
            "| Process | Phase | Seconds | Measure | Second quarter | Last quarter | |",
            "|---|---|---|---|---|---|---|",
            *_rows(data),
            "",
        )
    )


def _outcome(data: Mapping[str, Any]) -> Iterator[str]:
    if data["faults"]:
        yield "**Inconsistencies:**"
        yield ""
        yield from (f"- {fault}" for fault in data["faults"])
    else:
        yield (
            "Afterwards every marked guest had its machine and every machine its guest, the claims were those of "
            "the machines, the totals those of the claims, no volume was orphaned, and no log reported a bug."
        )


def _rows(data: Mapping[str, Any]) -> Iterator[str]:
    for one in data["verdicts"]:
        word = "flat" if one["flat"] else "**grows**"
        yield (
            f"| {one['process']} | {one['phase']} | {one['seconds']} | {one['measure']} | {one['early']:.1f} | "
            f"{one['late']:.1f} | {word} |"
        )
