"""What a soak leaves: its samples as JSON, a plot of them, and a page for people made from that JSON alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict

from tests.faults.flatness import GROWTH, LEAST, MEASURES
from tests.faults.soak import SoakReport

DOCS = Path(__file__).parents[2] / "docs"
WORTH_KEEPING = 10.0  # minutes
JSON_FILE, PLOT_FILE, PAGE_FILE = "faults/soak.json", "faults/soak.svg", "explanation/soak.md"


def plain(report: SoakReport) -> dict[str, Any]:
    """For JSON. A sample is seconds, resident KiB, threads, files."""
    told = asdict(report)
    for life in told["lives"]:
        life["samples"] = [[*sample.values()] for sample in life["samples"]]
        del life["pid"]
    return {"date": datetime.now(UTC).date().isoformat(), "good": report.is_good, **told}


def text(report: SoakReport) -> str:
    """For the terminal."""
    operations = sum(report.operations.values())
    dead = ", ".join(f"{name} {times}" for name, times in sorted(report.kills.items())) or "nobody"
    return "\n".join(
        (
            f"{report.minutes:g} minutes with deaths and {report.minutes / 2:g} without, on {report.where}: "
            f"{operations} operations of {report.callers} callers; died: {dead} (seed {report.seed})",
            *(verdict.text for verdict in report.verdicts),
            *([] if report.verdicts else [f"no process lived for {LEAST} seconds, so none was judged"]),
            *report.faults,
            "all adds up, and nothing grows" if report.is_good else "NOT GOOD",
        )
    )


def write(told: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """JSON, plot and page below `folder`, which is laid out as `docs/`; what was written. Needs matplotlib."""
    from tests.faults.soak_plot import draw

    paths = {name: folder / name for name in (JSON_FILE, PLOT_FILE, PAGE_FILE)}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    paths[JSON_FILE].write_text(json.dumps(told, ensure_ascii=False) + "\n")
    paths[PAGE_FILE].write_text(page(told))
    draw(told["lives"], paths[PLOT_FILE])
    return tuple(paths.values())


def page(told: Mapping[str, Any]) -> str:
    machine = told["machine"]
    return "\n".join(
        (
            "# The soak",
            "",
            "*Written by `./dev faults --soak 10` from [soak.json](../faults/soak.json); do not edit.*",
            "",
            f"{told['date']}, commit {machine['commit']}: {machine['cores']} cores of {machine['cpu']}, "
            f"{machine['memory_gib']:.0f} GiB, Python {machine['python']}, PostgreSQL {machine['postgresql']}; "
            f"load before the run: {machine['load']:.1f}.",
            "",
            f"{told['callers']} callers compose, delete, switch, cancel and refresh without a pause, on "
            f"{told['where']}. For {told['minutes']:g} minutes a process is killed (`SIGKILL`) every 25 to 70 seconds; "
            f"for half as long after that nobody dies. {sum(told['operations'].values()):,} operations were opened.",
            "",
            "Died: " + ", ".join(f"{name} {times} times" for name, times in sorted(told["kills"].items())) + ".",
            "",
            *_outcome(told),
            "",
            "![Memory, threads and open files by second](../faults/soak.svg)",
            "",
            "## Does anything grow?",
            "",
            f"A life of a process of at least {LEAST} samples, one a second, is flat when the median of its last "
            f"quarter is at most {GROWTH:g} times that of its second quarter, or at most "
            + ", ".join(f"{slack:g} {measure}" for measure, (_, slack) in MEASURES.items())
            + " above it. The first quarter is for what is loaded once.",
            "",
            "| Process | Phase | Seconds | Measure | Second quarter | Last quarter | |",
            "|---|---|---|---|---|---|---|",
            *_rows(told),
            "",
        )
    )


def _outcome(told: Mapping[str, Any]) -> Iterator[str]:
    if told["faults"]:
        yield "**It did not add up:**"
        yield ""
        yield from (f"- {fault}" for fault in told["faults"])
    else:
        yield (
            "Afterwards every guest with our mark was a machine and every machine had its guest, claims were those of "
            "the machines, totals those of the claims, no volume was left over, and no log told of a bug."
        )


def _rows(told: Mapping[str, Any]) -> Iterator[str]:
    for one in told["verdicts"]:
        word = "flat" if one["flat"] else "**grows**"
        yield (
            f"| {one['process']} | {one['phase']} | {one['seconds']} | {one['measure']} | {one['early']:.1f} | "
            f"{one['late']:.1f} | {word} |"
        )
